"""Photos and captions that describe them, from Flickr8k's files or a .csv of that kind.

Hodosh, Young and Hockenmaier, "Framing Image Description as a Ranking Task", JAIR 47, 2013.
"""

import csv
import dataclasses
import io
import os
import pathlib
import re
import reprlib
import zlib

from cvcourse.data.dataset import DataError, format_length
from cvcourse.data.text import read_text
from cvcourse.errors import reason, unknown

FILES = ("captions.csv", "captions.txt", "Flickr8k.token.txt")
FILE_FOLDERS = ("", "text")
# "Images" is Kaggle's; "Flicker8k_Dataset" is what the official archive unpacks to.
PHOTO_FOLDERS = ("images", "", "Images", "Flicker8k_Dataset")
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
SPLITS = {
    "train": "train",
    "val": "validation",
    "dev": "validation",
    "validation": "validation",
    "test": "test",
}
LONGEST = 1000  # characters of a header
KIND = "captions file"


@dataclasses.dataclass(frozen=True)
class CaptionedPhoto:
    """A photo and its captions.

    Args:
        path: File of the photo, which exists but was not opened.
        captions: One caption or more.

    >>> CaptionedPhoto(pathlib.PurePosixPath("photos/dog.jpg"), ("A dog runs.", "A brown dog."))
    CaptionedPhoto('photos/dog.jpg', ('A dog runs.', 'A brown dog.'))
    """

    path: pathlib.PurePath
    captions: tuple[str, ...]

    def __repr__(self):
        return f"CaptionedPhoto({str(self.path)!r}, {reprlib.repr(self.captions)})"


@dataclasses.dataclass(frozen=True)
class Captions:
    """Three splits of captioned photos, in the order of the captions file.

    Args:
        train: CaptionedPhotos, one or more.
        validation: CaptionedPhotos; may be empty.
        test: CaptionedPhotos; may be empty.

    >>> Captions((), (), ())
    Captions(photos: train 0, validation 0, test 0)
    """

    train: tuple[CaptionedPhoto, ...]
    validation: tuple[CaptionedPhoto, ...]
    test: tuple[CaptionedPhoto, ...]

    def __repr__(self):
        counts = ", ".join(f"{name} {format_length(part)}" for name, part in vars(self).items())
        return f"Captions(photos: {counts})"


def load_captions(
    folder: str | os.PathLike,
    captions_file: str | os.PathLike | None = None,
    *,
    limit: int | None = None,
    missing: str = "error",
) -> Captions:
    """Load captioned photos.

    The captions file has (a) lines `NAME.jpg#0<TAB>caption`, as Flickr8k.token.txt, where #0 is
    optional; or (b) comma-separated values with a header that has `image` and `caption`, as
    Kaggle's Flickr8k, and may have `split` (train; val, dev or validation; test). Other columns and
    the number after # are ignored: captions keep the order of the file.

    Splits are taken from the column `split`, otherwise from Flickr8k's lists (LISTS) beside the
    captions file, and then photos in no list are left out. Without both, the splits follow a fixed
    rule without a seed: in order of the CRC-32 of the names of the photos found, the first tenth is
    validation and the next tenth is test (one photo each if there are fewer than 20, none if there
    are fewer than 3).

    Args:
        folder: Folder of the photos, or of a subfolder such as `images` (PHOTO_FOLDERS); the one
            with most of the photos is used.
        captions_file: The captions file. If None, the first of FILES found in `folder` or
            `folder/text`.
        limit: Number of photos of each split to keep, from the first on; None keeps all.
        missing: "error" or "skip", for captions of a photo that is not found.

    Returns:
        The Captions.

    Raises:
        ValueError: If `missing` has another value.
        DataError: If files are missing or damaged, or no photo is in the training split.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.jpg", "b.jpg", "c.jpg"):
    ...         pathlib.Path(folder, name).touch()
    ...     text = "image,caption\\na.jpg,A dog\\nb.jpg,A cat\\nc.jpg,A bird\\n"
    ...     _ = pathlib.Path(folder, "captions.csv").write_text(text)
    ...     load_captions(folder)
    Captions(photos: train 1, validation 1, test 1)
    """
    if missing not in ("error", "skip"):
        raise ValueError(unknown("value of missing", missing, ("error", "skip")))
    folder = pathlib.Path(os.path.expanduser(folder))
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name the folder of the photos")
    file = pathlib.Path(os.path.expanduser(captions_file or _captions_file(folder)))
    captions, splits = _read(file)
    splits = splits or _listed(file.parent)
    if splits:
        captions = {name: texts for name, texts in captions.items() if name in splits}
        if not captions:
            raise DataError(f"{file} has no photo that the lists in {file.parent} name")
    photos = _photos(folder, captions, file, missing)
    splits = splits or _by_rule(photos)
    parts: dict[str, list[CaptionedPhoto]] = {split: [] for split in LISTS}
    for name, path in photos.items():
        parts[splits[name]].append(CaptionedPhoto(path, tuple(captions[name])))
    if not parts["train"]:
        raise DataError(f"{file}: none of the {len(photos)} photos is in the split train")
    return Captions(**{split: tuple(part[: limit or None]) for split, part in parts.items()})


def _captions_file(folder):
    for place in FILE_FOLDERS:
        for name in FILES:
            if (folder / place / name).is_file():
                return folder / place / name
    raise DataError(
        f"neither {folder} nor {folder / 'text'} has {', '.join(FILES[:-1])} or {FILES[-1]}: "
        "name the captions file"
    )


def _read(file):
    """Read a captions file: ({photo: [caption, ...]}, {photo: split} or None), in its order."""
    text = read_text(file, kind=KIND)
    header = next((line for line in io.StringIO(text) if line.strip()), "")
    columns = _columns(next(csv.reader([header[:LONGEST]], skipinitialspace=True), []))
    if not header:
        raise DataError(f"the captions file {file} is empty; captions are needed")
    if {"image", "caption"} <= set(columns):
        rows = _from_csv(text, file)
    elif "\t" in header and file.suffix.lower() != ".csv":
        rows = _from_tabs(text, file)
    else:
        raise DataError(
            f"{file} has no known format, it begins with {header.strip()[:60]!r}: the header "
            "image,caption or lines of a photo's name, a tab and a caption are needed"
        )
    captions, splits = {}, {}
    for line, name, caption, split in rows:
        if not name or not caption:
            raise DataError(
                f"{file}, line {line}: {'a caption' if name else 'a photo name'} without text; "
                "write one or drop the line"
            )
        inside = os.path.normpath(name)
        if os.path.isabs(inside) or inside.split(os.sep)[0] == os.pardir:
            raise DataError(
                f"{file}, line {line}: {name} is outside the folder of the photos; name one in it"
            )
        captions.setdefault(name, []).append(caption)
        if "split" in columns:
            if split.lower() not in SPLITS:
                raise DataError(f"{file}, line {line}: {unknown('split', split, SPLITS)}")
            split = SPLITS[split.lower()]
            if splits.setdefault(name, split) != split:
                raise DataError(
                    f"{file}, line {line}: {name} is in {split} and in {splits[name]}; choose one"
                )
    if not captions:
        raise DataError(f"the captions file {file} has a header only; captions are needed")
    return captions, splits or None


def _from_csv(text, file):
    """Yield (line, photo, caption, split or "") of each row."""
    # strict: otherwise an unclosed quote joins all lines after it into one caption
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    columns = None
    try:
        for row in filter(None, reader):
            if columns is None:
                columns = _columns(row)
            elif len(row) != len(columns):
                raise DataError(
                    f"{file}, line {reader.line_num}: {len(row)} fields under "
                    f"{len(columns)} column names; a caption with commas needs double quotes"
                )
            else:
                fields = dict(zip(columns, map(str.strip, row), strict=True))
                yield (
                    reader.line_num,
                    fields["image"],
                    fields["caption"],
                    fields.get("split", ""),
                )
    except csv.Error as error:
        raise DataError(
            f"{file}, line {reader.line_num}: {reason(error)}; a field with commas or quotes "
            "needs double quotes around it, and quotes in it are doubled"
        ) from error


def _columns(row):
    return [column.strip().lower() for column in row]


def _from_tabs(text, file):
    """Yield (line, photo, caption, "") of each line that is not blank."""
    for number, line in enumerate(io.StringIO(text), 1):
        name, tab, caption = line.partition("\t")
        if tab:
            yield number, re.sub(r"#\d+$", "", name.strip()), caption.strip(), ""
        elif line.strip():
            raise DataError(
                f"{file}, line {number}: no tab between a photo's name and its caption in "
                f"{line.strip()[:60]!r}"
            )


def _listed(folder):
    """Read Flickr8k's lists in a folder: {photo: split}; None if there is no training list."""
    if not (folder / LISTS["train"]).is_file():
        return None
    splits = {}
    for split, name in LISTS.items():
        if (folder / name).is_file():
            listed = io.StringIO(read_text(folder / name, kind=KIND))
            for photo in filter(None, map(str.strip, listed)):
                if splits.setdefault(photo, split) != split:
                    raise DataError(
                        f"{folder / name} has {photo}, which is also in {LISTS[splits[photo]]}; "
                        "a photo is in one split"
                    )
    return splits


def _photos(folder, names, file, missing):
    """Find the photos: {photo: its path}, in the order of `names`, without missing ones."""
    found = {}
    for place in PHOTO_FOLDERS:
        # os.path.isfile: pathlib raises an error for a name that is too long
        paths = {name: folder / place / name for name in names}
        there = {name: path for name, path in paths.items() if os.path.isfile(path)}
        found = max(found, there, key=len)
        if len(found) == len(names):
            return found
    absent = next(name for name in names if name not in found)
    if not found:
        raise DataError(
            f"neither {folder} nor {folder / PHOTO_FOLDERS[0]} has a photo that {file} names "
            f"(first {absent}); name the folder of the photos"
        )
    if missing == "error":
        where = next(iter(found.values())).parent
        raise DataError(
            f"{file} names {absent}, which is not in {where}: {len(names) - len(found)} of "
            f"{len(names)} photos are missing; add them, or use missing=skip"
        )
    return found


def _by_rule(names):
    """Split by a fixed rule: {photo: split}, a tenth each of validation and test."""
    ordered = sorted(names, key=lambda name: (zlib.crc32(name.encode()), name))
    count = max(len(ordered) // 10, len(ordered) > 2)
    parts = ["validation"] * count + ["test"] * count
    parts += ["train"] * (len(ordered) - len(parts))
    return dict(zip(ordered, parts, strict=True))
