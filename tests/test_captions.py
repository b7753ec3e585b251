"""Captioned photos: the files they come from, their splits, and what is refused."""

import itertools
import os
import pathlib
import zlib

import pytest

from cvcourse.data import DataError
from cvcourse.data.captions import CaptionedPhoto, Captions, load_captions

FLICKR8K_100 = pathlib.Path(os.environ.get("CVCOURSE_DATA") or "nowhere") / "flickr8k_100"

TOKENS = "a.jpg#0\tA dog .\na.jpg#1\tOne dog , running\nb.jpg#0\tA cat\nc.jpg#0\tA bird\n"
CSV = """image,caption
a.jpg,A dog .
a.jpg,"One dog , running"
b.jpg,A cat
c.jpg,A bird
"""
SPLIT_CSV = """image,split,caption_number,caption
c.jpg,test,0,A bird
a.jpg,train,0,A dog .
b.jpg,val,0,A cat
a.jpg,train,1,"One ""dog"" , running"
d.jpg,Dev,0,Two cats
e.jpg,validation,0,Three cats
"""


@pytest.fixture
def folder(tmp_path):
    """A function: photos (empty files) and texts by name, in a folder, which it returns."""

    def make(photos="images/a.jpg images/b.jpg images/c.jpg", **texts):
        for name in photos.split():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        for name, text in texts.items():
            # captions_csv is captions.csv, text__captions_csv is text/captions.csv
            place, _, stem = name.rpartition("__")
            stem, _, ending = stem.rpartition("_")
            path = tmp_path / place / f"{stem}.{ending}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return make


def add_lists(place, train="", dev=None, test=None):
    """Flickr8k's lists of the photos with these letters, beside the captions file."""
    for name, letters in (("train", train), ("dev", dev), ("test", test)):
        if letters is not None:
            lines = "".join(f"{letter}.jpg\n" for letter in letters)
            (place / f"Flickr_8k.{name}Images.txt").write_text(lines)


def names(captions):
    """The photos of each split: {"train": "ab", "validation": "c", "test": ""}."""
    return {
        split: "".join(photo.path.stem for photo in getattr(captions, split))
        for split in ("train", "validation", "test")
    }


def all_captions(captions):
    parts = captions.train + captions.validation + captions.test
    return {photo.path.name: photo.captions for photo in parts}


def refused(call, *parts):
    """The call ends in one sentence that has all of `parts`."""
    with pytest.raises((DataError, ValueError)) as caught:
        call()
    message = str(caught.value)
    assert [part for part in map(str, parts) if part not in message] == [], message
    assert "\n" not in message


# Formats

READ = {
    "a.jpg": ("A dog .", "One dog , running"),
    "b.jpg": ("A cat",),
    "c.jpg": ("A bird",),
}


@pytest.mark.parametrize(
    "texts",
    [
        {"Flickr8k.token_txt": TOKENS},
        {"text__Flickr8k.token_txt": TOKENS},
        {"captions_txt": TOKENS},
        {"captions_txt": TOKENS.replace("#0", "").replace("#1", "")},
        {"captions_txt": "\ufeff\r\n" + TOKENS.replace("\n", " \r\n\r\n")},
        {"captions_csv": CSV},
        {"captions_txt": CSV},  # as Kaggle calls it
        {"text__captions_csv": CSV.replace("\n", "\r\n")},
        {"captions_csv": CSV.replace("image,caption", '\ufeff"Image", "caption"') + "\n\n"},
        {"captions_csv": CSV, "captions_txt": "not looked at", "text__captions_csv": ""},
    ],
)
def test_formats(folder, texts):
    assert all_captions(load_captions(folder(**texts))) == READ


@pytest.mark.parametrize("name", ["these.token", "these.csv", "these.txt"])
def test_a_captions_file_of_any_name(folder, name, tmp_path_factory):
    file = tmp_path_factory.mktemp("elsewhere") / name
    file.write_text(CSV if name.endswith("csv") else TOKENS)
    assert all_captions(load_captions(folder(captions_csv="not looked at"), file)) == READ
    assert all_captions(load_captions(str(folder()), str(file))) == READ


@pytest.mark.parametrize("place", ["", "images", "Images", "Flicker8k_Dataset"])
def test_photos_are_looked_for_in_some_places(folder, place):
    where = folder(" ".join(str(pathlib.Path(place, f"{x}.jpg")) for x in "abc"), captions_txt=CSV)
    captions = load_captions(where)
    parts = captions.train + captions.validation + captions.test
    assert {photo.path for photo in parts} == {where / place / f"{x}.jpg" for x in "abc"}


def test_the_place_with_most_photos_counts(folder):
    where = folder("images/a.jpg a.jpg b.jpg c.jpg", captions_csv=CSV)
    assert {photo.path.parent for photo in load_captions(where).train} == {where}


def test_a_photo_in_a_folder_of_its_own(folder):
    where = folder("images/x/a.jpg", captions_csv="image,caption\nx/a.jpg,A dog\n")
    photo = CaptionedPhoto(where / "images" / "x" / "a.jpg", ("A dog",))
    assert load_captions(where) == Captions(train=(photo,), validation=(), test=())


def test_a_name_that_begins_with_dots_leaves_no_folder(folder):
    where = folder("images/..a.jpg", captions_csv="image,caption\n..a.jpg,A dog\n")
    assert load_captions(where).train[0].path == where / "images" / "..a.jpg"


def test_a_hash_in_a_name_is_part_of_it(folder):
    where = folder("images/a#1.jpg", captions_txt="a#1.jpg#0\tA dog\na#1.jpg\tThe # 1\tdog\n")
    assert all_captions(load_captions(where)) == {"a#1.jpg": ("A dog", "The # 1\tdog")}


def test_odd_line_ends_are_part_of_a_caption(folder):
    where = folder(captions_txt="a.jpg\tA\u2028dog\x85\x0c.\n")
    assert all_captions(load_captions(where)) == {"a.jpg": ("A\u2028dog\x85\x0c.",)}


# Splits


def test_the_split_column(folder):
    where = folder(" ".join(f"images/{x}.jpg" for x in "abcde"), captions_csv=SPLIT_CSV)
    add_lists(where, train="bc")  # not looked at
    captions = load_captions(where)
    assert names(captions) == {"train": "a", "validation": "bde", "test": "c"}
    assert captions.train[0].captions == ("A dog .", 'One "dog" , running')


def test_the_lists_beside_the_captions(folder):
    where = folder(text__captions_txt=TOKENS)
    add_lists(where / "text", train="cax", dev="", test="b")
    assert names(load_captions(where)) == {"train": "ac", "validation": "", "test": "b"}


def test_photos_in_no_list_are_left_out(folder):
    where = folder("images/a.jpg", captions_csv=CSV)
    add_lists(where, train="a")
    assert names(load_captions(where)) == {"train": "a", "validation": "", "test": ""}


def test_lists_elsewhere_and_lists_without_training_do_not_count(folder):
    where = folder(text__captions_txt=TOKENS)
    by_rule = names(load_captions(where))
    add_lists(where, train="abc")
    add_lists(where / "text", train=None, dev="a")
    assert names(load_captions(where)) == by_rule


def tens(letters):
    return "".join(f"{x}.jpg\tcaption {x}\n" for x in letters)


def test_without_splits_a_tenth_each_by_the_names_check_sums(folder):
    letters = "".join(map(chr, range(ord("A"), ord("A") + 58)))
    letters = "".join(x for x in letters if x.isalpha())[:50]
    where = folder(" ".join(f"{x}.jpg" for x in letters), captions_txt=tens(letters))
    split = names(load_captions(where))
    assert [len(part) for part in split.values()] == [40, 5, 5]
    ordered = sorted(letters, key=lambda x: zlib.crc32(f"{x}.jpg".encode()))
    assert set(split["validation"]) == set(ordered[:5])
    assert set(split["test"]) == set(ordered[5:10])
    assert split == {"train": split["train"], "validation": "KPYgu", "test": "BCfno"}
    for part in split.values():
        assert part == "".join(sorted(part))  # in the file's order
    where.joinpath("captions.txt").write_text(tens(reversed(letters)))
    backwards = names(load_captions(where))
    assert backwards == {name: part[::-1] for name, part in split.items()}


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, (1, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (19, (17, 1, 1)), (20, (16, 2, 2))],
)
def test_without_splits_few_photos(folder, count, sizes):
    letters = "abcdefghijklmnopqrst"[:count]
    where = folder(" ".join(f"{x}.jpg" for x in letters), captions_txt=tens(letters))
    split = names(load_captions(where))
    assert tuple(map(len, split.values())) == sizes
    assert sorted(itertools.chain(*split.values())) == list(letters)


def test_limit_keeps_the_first(folder):
    letters = "abcdefghijklmnopqrst"
    where = folder(" ".join(f"{x}.jpg" for x in letters), captions_txt=tens(letters))
    whole, limited = names(load_captions(where)), names(load_captions(where, limit=1))
    assert limited == {name: part[:1] for name, part in whole.items()}
    assert tuple(map(len, names(load_captions(where, limit=9)).values())) == (9, 2, 2)


# Photos that are not there


@pytest.mark.parametrize("text", [{"captions_csv": CSV}, {"captions_txt": TOKENS}])
def test_missing_photos(folder, text):
    where = folder("images/a.jpg", **text)
    (file,) = where.glob("captions.*")
    (where / "images" / "c.jpg").mkdir()  # no file
    refused(lambda: load_captions(where), file, "b.jpg", where / "images", "2 of 3", "missing=skip")
    assert all_captions(load_captions(where, missing="skip")) == {"a.jpg": READ["a.jpg"]}


def test_missing_photos_are_skipped_before_the_split_and_the_limit(folder):
    where = folder("images/b.jpg", captions_csv=CSV)
    captions = load_captions(where, missing="skip", limit=1)
    assert names(captions) == {"train": "b", "validation": "", "test": ""}


def test_flickr8k_s_misspelt_name_is_a_photo_that_is_missing(folder):
    misspelt = "2258277193_586949ec62.jpg.1"
    tokens = f"{misspelt}#0\tpeople waiting\n2258277193_586949ec62.jpg#1\tSome people .\n"
    where = folder("2258277193_586949ec62.jpg", captions_txt=tokens)
    refused(lambda: load_captions(where), misspelt, "1 of 2")
    assert all_captions(load_captions(where, missing="skip")) == {
        "2258277193_586949ec62.jpg": ("Some people .",)
    }
    (where / "Flickr_8k.trainImages.txt").write_text("2258277193_586949ec62.jpg\n")
    assert len(load_captions(where).train) == 1


@pytest.mark.parametrize("missing", ["error", "skip"])
def test_no_photo_at_all(folder, missing):
    where = folder("images/x.jpg", captions_csv=CSV)
    refused(
        lambda: load_captions(where, missing=missing),
        where,
        "captions.csv",
        "first a.jpg",
        where / "images",
    )


def test_a_name_that_cannot_be_a_file(folder):
    where = folder(captions_txt=TOKENS + "x" * 5000 + "\tA dog\na\0.jpg\tA cat\n")
    assert all_captions(load_captions(where, missing="skip")) == READ


# Bad files


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("captions_csv", "", ("empty",)),
        ("captions_txt", " \n\n", ("empty",)),
        ("captions_csv", "image,caption\n", ("header only",)),
        ("captions_csv", "image;caption\na.jpg;A dog\n", ("image;caption", "image,caption")),
        ("captions_csv", TOKENS, ("no known format", r"a.jpg#0\tA dog")),
        ("captions_txt", "A dog on a\nleash\n", ("no known format", "A dog on a")),
        ("captions_txt", "{" + '"a": 1, ' * 50_000, ("no known format", "{")),
        ("captions_txt", TOKENS.encode("utf-16"), ("not in UTF-8", "byte 0")),
        ("captions_csv", b"image,caption\na.jpg,caf\xe9\n", ("not in UTF-8", "byte 23")),
        ("captions_txt", TOKENS + "c.jpg A bird\n", ("line 5", "tab", "c.jpg A bird")),
        ("captions_txt", TOKENS + "\nc.jpg#1\t \n", ("line 6", "caption without text")),
        ("captions_txt", TOKENS + "#1\tA bird\n", ("line 5", "photo name without text")),
        ("captions_csv", CSV + "c.jpg,\n", ("line 6", "caption without text")),
        ("captions_csv", CSV + "c.jpg,A bird, too\n", ("line 6", "3 fields", "2 ", "quotes")),
        ("captions_csv", CSV + "c.jpg\n", ("line 6", "1 fields")),
        ("captions_csv", CSV + 'c.jpg,"A bird\nc.jpg,Two birds\n', ("line 7", "double quotes")),
        ("captions_csv", CSV + 'c.jpg,"' + "A bird\n" * 20_000, ("field limit", "double quotes")),
        ("captions_csv", CSV + 'c.jpg,"A "bird""\n', ("line 6", "double quotes")),
        ("captions_csv", CSV + "../c.jpg,A bird\n", ("line 6", "../c.jpg is outside the folder")),
        ("captions_csv", CSV + "a/../../c.jpg,A\n", ("line 6", "is outside the folder")),
        (
            "captions_txt",
            TOKENS + "/etc/c.jpg#0\tA\n",
            ("line 5", "/etc/c.jpg is outside the folder"),
        ),
        (
            "captions_csv",
            SPLIT_CSV + "a.jpg,trian,2,A dog\n",
            ("line 8", "split 'trian'", "did you mean 'train'", "val, dev, validation, test"),
        ),
        ("captions_csv", SPLIT_CSV + "a.jpg,,2,A dog\n", ("line 8", "split ''")),
        ("captions_csv", SPLIT_CSV + "a.jpg,test,2,A dog\n", ("line 8", "a.jpg", "train", "test")),
        (
            "captions_csv",
            "image,caption,split\na.jpg,A dog,test\n",
            ("none of the 1 photos", "split train"),
        ),
    ],
)
def test_bad_captions_files(folder, name, text, parts):
    where = folder(**{name: text})
    refused(lambda: load_captions(where), where / name.replace("_", "."), *parts)


def test_bad_lists(folder):
    where = folder(captions_csv=CSV)
    add_lists(where, train="ab", dev="cb")
    refused(lambda: load_captions(where), "b.jpg", "Flickr_8k.devImages.txt", "trainImages.txt")
    add_lists(where, train="xy", dev="z")
    refused(lambda: load_captions(where), where / "captions.csv", "no photo that the lists")
    (where / "Flickr_8k.devImages.txt").write_bytes(b"caf\xe9")
    refused(lambda: load_captions(where), "devImages.txt", "not in UTF-8")


def test_nothing_where_it_was_said_to_be(folder):
    where = folder()
    refused(lambda: load_captions(where / "absent"), "no folder", where / "absent")
    refused(lambda: load_captions(where / "images" / "a.jpg"), "no folder", "a.jpg")
    refused(lambda: load_captions(where), where, "captions.csv", "Flickr8k.token.txt", "text")
    refused(lambda: load_captions(where, where / "absent.csv"), "cannot read", "absent.csv")
    refused(lambda: load_captions(where, where), "cannot read", where)
    os.mkfifo(where / "pipe.csv")
    refused(lambda: load_captions(where, where / "pipe.csv"), "pipe.csv is a pipe")
    refused(lambda: load_captions(where, "/dev/zero"), "/dev/zero is a device, not a regular file")
    refused(lambda: load_captions(where, missing="skpi"), "'skpi'", "did you mean 'skip'")


# The real files


@pytest.mark.skipif(not FLICKR8K_100.is_dir(), reason="$CVCOURSE_DATA has no flickr8k_100")
def test_flickr8k():
    captions = load_captions(FLICKR8K_100)
    parts = captions.train, captions.validation, captions.test
    assert tuple(map(len, parts)) == (81, 13, 6)
    assert {len(photo.captions) for part in parts for photo in part} == {5}
    tokens = FLICKR8K_100 / "text" / "Flickr8k.token.txt"
    assert load_captions(FLICKR8K_100, tokens, missing="skip") == captions
    refused(lambda: load_captions(FLICKR8K_100, tokens), tokens, "7900 of 8000")


# repr


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (Captions((), (), ()), "Captions(photos: train 0, validation 0, test 0)"),
        (Captions(None, 1, ()), "Captions(photos: train ?, validation ?, test 0)"),
        (CaptionedPhoto(None, None), "CaptionedPhoto('None', None)"),
        (
            CaptionedPhoto(pathlib.PurePosixPath("a/dog.jpg"), ("A dog .",) * 9),
            "CaptionedPhoto('a/dog.jpg', (" + 6 * "'A dog .', " + "...))",
        ),
    ],
)
def test_repr(thing, expected):
    assert repr(thing) == expected


def test_the_repr_counts_photos(folder):
    captions = load_captions(folder(captions_csv=SPLIT_CSV, photos="a.jpg b.jpg c.jpg d.jpg e.jpg"))
    assert repr(captions) == "Captions(photos: train 1, validation 3, test 1)"
