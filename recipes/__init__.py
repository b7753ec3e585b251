"""One runnable experiment per file, named by its technique; installed as `cvcourse.recipes`."""
