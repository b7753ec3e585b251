"""One runnable experiment a file, named by its technique; installed as `cvcourse.recipes`."""
