"""Readers of published sets of fake faces, on folders with their layouts."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tamperscope.data.datasets import read_dataset
from tamperscope.data.datasets._files import Orphans
from tamperscope.data.datasets.celeb_df import load_celeb_df
from tamperscope.data.datasets.dffd import load_dffd
from tamperscope.data.datasets.face_forgeries import LOADERS, load_face_forgeries
from tamperscope.data.datasets.faceforensics import load_faceforensics
from tamperscope.data.datasets.gan_faces import load_gan_faces
from tamperscope.data.pair import FacePair, read_pair
from tamperscope.errors import DataError, UnknownNameError

Writer = Callable[..., Path]


def shown(pairs: list[FacePair], root: Path) -> dict[str, str | None]:
    """Fake -> real, relative to the set."""
    return {
        pair.id: None if pair.real is None else pair.real.relative_to(root).as_posix()
        for pair in pairs
        if pair.is_fake
    }


# --- GANs ------------------------------------------------------------------------------------


@pytest.fixture
def gans(tmp_path: Path, picture: Writer) -> Path:
    root = tmp_path / "gans"
    for i, stem in enumerate(("000001", "000002", "12_7")):
        picture(root / "real" / f"{stem}.jpg", 40 + i)
        picture(root / "stargan" / "Black_Hair" / f"{stem}.jpg", 60 + i)
        picture(root / "AttGAN" / f"{stem}_Bald.png", 80 + i)
        picture(root / "icgan" / f"Eyeglasses-{stem}.png", 90 + i)
    picture(root / "stylegan2" / "00000" / "000001.png", 100)
    picture(root / "PGGAN" / "img00000000.png", 101)
    return root


def test_edited_faces_go_with_the_real_ones_of_their_names(gans: Path) -> None:
    pairs = load_gan_faces(gans)
    assert shown(pairs, gans) == {
        "stargan/Black_Hair/000001": "real/000001.jpg",
        "stargan/Black_Hair/000002": "real/000002.jpg",
        "stargan/Black_Hair/12_7": "real/12_7.jpg",
        "AttGAN/000001_Bald": "real/000001.jpg",
        "AttGAN/000002_Bald": "real/000002.jpg",
        "AttGAN/12_7_Bald": "real/12_7.jpg",
        "icgan/Eyeglasses-000001": "real/000001.jpg",
        "icgan/Eyeglasses-000002": "real/000002.jpg",
        "icgan/Eyeglasses-12_7": "real/12_7.jpg",
        # Numbered as a real face is, and made from nothing.
        "stylegan2/00000/000001": None,
        "PGGAN/img00000000": None,
    }
    assert {pair.variant for pair in pairs if pair.is_fake} == {"whole"}
    assert [pair.id for pair in pairs[:3]] == ["real/000001", "real/000002", "real/12_7"]
    maps = {pair.id: read_pair(pair)[1] for pair in pairs}
    assert maps["stargan/Black_Hair/000001"].mean() == pytest.approx(20 / 255, abs=0.01)
    assert (maps["stylegan2/00000/000001"] == 1).all()
    assert not maps["real/000001"].any()


def test_generators_are_chosen(gans: Path) -> None:
    pairs = load_gan_faces(gans, generators=["PGGAN"])
    assert {pair.generator for pair in pairs} == {None, "PGGAN"}
    with pytest.raises(UnknownNameError, match="generator of this set 'PGAN'; did you mean 'PGGAN"):
        load_gan_faces(gans, generators="PGAN")
    with pytest.raises(UnknownNameError, match="unknown pairing 'stems'; did you mean 'stem'"):
        load_gan_faces(gans, pairing="stems")  # type: ignore[arg-type]


def test_an_edited_face_without_its_real_one_is_named(gans: Path, picture: Writer) -> None:
    picture(gans / "stargan" / "Black_Hair" / "000003.jpg")
    message = "1 of 4 pictures have no real face of their name .*'000003'; did you mean '00000"
    with pytest.raises(DataError, match=message):
        load_gan_faces(gans)
    orphans: Orphans = []
    assert "stargan/Black_Hair/000003" not in shown(load_gan_faces(gans, orphans=orphans), gans)
    assert [(o.name, o.lacks) for o in orphans] == [("000003", "real face")]
    pairs = load_gan_faces(gans, generators="stargan", pairing="none")
    assert set(shown(pairs, gans).values()) == {None}
    (gans / "stylegan2/00000/000001.png").rename(gans / "stylegan2/00000/seed0001.png")
    with pytest.raises(DataError, match="stylegan2: 1 of 1 pictures have no real face"):
        load_gan_faces(gans, generators="stylegan2", pairing="stem")


def test_real_faces_elsewhere_or_nowhere(gans: Path, tmp_path: Path) -> None:
    (gans / "real").rename(tmp_path / "celeba")
    with pytest.raises(DataError, match="3 of 3 pictures have no real face .*no folder real"):
        load_gan_faces(gans)
    pairs = load_gan_faces(gans, generators="AttGAN", real=tmp_path / "celeba")
    assert shown(pairs, tmp_path)["AttGAN/000001_Bald"] == "celeba/000001.jpg"
    with pytest.raises(DataError, match="no folder .*celebb: give the folder of the real faces"):
        load_gan_faces(gans, real=tmp_path / "celebb")


def test_one_generator_in_a_plain_folder(tmp_path: Path, picture: Writer) -> None:
    root = tmp_path / "stylegan3"
    for name in ("seed0000.png", "more/seed0001.png"):
        picture(root / name)
    assert list(shown(load_gan_faces(root), root)) == [
        "stylegan3/more/seed0001",
        "stylegan3/seed0000",
    ]
    (root / "fake").mkdir()
    (root / "seed0000.png").rename(root / "fake" / "seed0000.png")
    picture(root / "real" / "real_1.png")
    pairs = load_gan_faces(root)
    assert [pair.id for pair in pairs] == ["real/real_1", "stylegan3/seed0000"]


def test_other_generators_are_paired_if_their_first_picture_is(gans: Path, picture: Writer) -> None:
    picture(gans / "mine" / "000001.png")
    picture(gans / "yours" / "a.png")
    found = shown(load_gan_faces(gans), gans)
    assert (found["mine/000001"], found["yours/a"]) == ("real/000001.jpg", None)
    picture(gans / "mine" / "a.png")
    with pytest.raises(DataError, match=r"mine: 1 of 2 pictures have no real face .*first: 'a'"):
        load_gan_faces(gans)


def test_folders_of_gans_that_are_none(tmp_path: Path, picture: Writer) -> None:
    with pytest.raises(DataError, match="no such folder: .*nowhere: give the folder that holds GE"):
        load_gan_faces(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no pictures of a generator: expected GENERATOR/"):
        load_gan_faces(tmp_path)
    (tmp_path / "stargan").mkdir()
    with pytest.raises(DataError, match="stargan: no pictures: expected GENERATOR/"):
        load_gan_faces(tmp_path)
    for name in ("a/x.png", "b/x.png"):
        picture(tmp_path / "real" / name)
    with pytest.raises(DataError, match=r"a.x.png and b.x.png have the same stem: rename one"):
        load_gan_faces(tmp_path)
    for name in ("a.png", "a.jpg"):
        picture(tmp_path / "set" / "pggan" / name)
    with pytest.raises(DataError, match=r"two pictures are called 'pggan/a' .*: rename one"):
        load_gan_faces(tmp_path / "set")


# --- FaceForensics++ -------------------------------------------------------------------------


@pytest.fixture
def ff(tmp_path: Path, picture: Writer) -> Path:
    root = tmp_path / "ff"
    for frame in range(3):
        for video in ("000", "003"):
            images = root / "original_sequences/youtube/c23/images"
            picture(images / video / f"{frame:04d}.png", 40)
        for method in ("Deepfakes", "FaceShifter"):
            folder = root / "manipulated_sequences" / method
            picture(folder / "c23/images/000_003" / f"{frame:04d}.png", 50)
            picture(folder / "c23/images/003_000" / f"{frame:04d}.png", 50)
        masks = root / "manipulated_sequences/Deepfakes/masks/images"
        picture(masks / "000_003" / f"{frame:04d}.png", 255)
    (root / "splits").mkdir()
    (root / "splits/test.json").write_text(json.dumps([["003", "004"]]))
    return root


def test_frames_go_with_those_of_the_target_video(ff: Path) -> None:
    pairs = load_faceforensics(ff, methods="Deepfakes")
    images = "original_sequences/youtube/c23/images"
    assert shown(pairs, ff) == {
        f"Deepfakes/{video}/{frame:04d}": f"{images}/{video[:3]}/{frame:04d}.png"
        for video in ("000_003", "003_000")
        for frame in range(3)
    }
    masked = {pair.id for pair in pairs if pair.mask_path is not None}
    assert masked == {f"Deepfakes/000_003/{frame:04d}" for frame in range(3)}
    assert {pair.variant for pair in pairs if pair.is_fake} == {"region"}
    assert read_pair(pairs[-1])[1].mean() == pytest.approx(10 / 255, abs=1e-6)
    assert pairs[0].id == "original/000/0000"


def test_other_names_for_frames_and_masks(ff: Path) -> None:
    for method in ("Deepfakes", "FaceShifter"):
        level = ff / "manipulated_sequences" / method / "c23"
        (level / "images").rename(level / "frames")
    folder = ff / "manipulated_sequences/Deepfakes"
    (folder / "masks/images").rename(folder / "c23/masks")
    assert sum(pair.mask_path is not None for pair in load_faceforensics(ff)) == 3


def test_frames_are_paired_by_number_and_the_rest_is_left_out(ff: Path, picture: Writer) -> None:
    originals = ff / "original_sequences/youtube/c23/images/000"
    (originals / "0002.png").unlink()
    (originals / "0001.png").rename(originals / "1.png")
    ids = [p.id for p in load_faceforensics(ff, methods="Deepfakes") if p.face == "000"]
    assert ids == [
        "original/000/0000",
        "original/000/1",
        "Deepfakes/000_003/0000",
        "Deepfakes/000_003/0001",
    ]


def test_actors_of_deepfakedetection(ff: Path, picture: Writer) -> None:
    scene = "outside_talking_still_laughing"
    originals = ff / "original_sequences/actors/c23/images"
    picture(originals / f"01__{scene}" / "0000.png")
    fakes = ff / "manipulated_sequences/DeepFakeDetection/c23/images"
    picture(fakes / f"01_02__{scene}__YVGY8LOK" / "0000.png")
    (pair,) = (p for p in load_faceforensics(ff, methods="DeepFakeDetection") if p.is_fake)
    assert pair.real == originals / f"01__{scene}" / "0000.png"


def test_the_published_lists_of_videos(ff: Path) -> None:
    pairs = load_faceforensics(ff, split="test")
    assert {pair.face for pair in pairs} == {"003"}
    assert len(pairs) == 3 + 6
    with pytest.raises(UnknownNameError, match="unknown split 'tset'; did you mean 'test'"):
        load_faceforensics(ff, split="tset")
    with pytest.raises(DataError, match="no splits/val.json: copy the published lists there, or"):
        load_faceforensics(ff, split="valid")
    (ff / "splits/test.json").write_text("{")
    with pytest.raises(DataError, match="test.json: no list of pairs of videos: get it again"):
        load_faceforensics(ff, split="test")


def test_what_is_missing_of_faceforensics_is_named(ff: Path, picture: Writer) -> None:
    with pytest.raises(UnknownNameError, match="'DeepFakes'; did you mean 'Deepfakes'"):
        load_faceforensics(ff, methods=["DeepFakes"])
    with pytest.raises(UnknownNameError, match="compression of this set 'c32'; did you mean 'c23"):
        load_faceforensics(ff, compression="c32")
    picture(ff / "manipulated_sequences/Face2Face/c40/images/000_003/0000.png")
    with pytest.raises(DataError, match="compressions in it: c23, c40; give one of c23, c40"):
        load_faceforensics(ff)
    with pytest.raises(DataError, match="no originals of compression c40: get them, or give"):
        load_faceforensics(ff, methods="Face2Face", compression="c40")
    (ff / "manipulated_sequences/NeuralTextures/c23/videos").mkdir(parents=True)
    with pytest.raises(DataError, match=r"NeuralTextures.c23: no frames: extract every video to a"):
        load_faceforensics(ff, compression="c23")
    with pytest.raises(DataError, match="no folder .*manipulated_sequences: expected manipulated_"):
        load_faceforensics(ff / "splits")


def test_fakes_of_videos_that_are_not_there(ff: Path) -> None:
    originals = ff / "original_sequences/youtube/c23/images"
    (originals / "003").rename(originals / "005")
    with pytest.raises(DataError, match=r"frames of 1 real videos are missing \(003\): extract"):
        load_faceforensics(ff, methods="Deepfakes")
    orphans: Orphans = []
    pairs = load_faceforensics(ff, methods="Deepfakes", orphans=orphans)
    assert {pair.face for pair in pairs if pair.is_fake} == {"000"}
    assert [orphan.name for orphan in orphans] == ["003"]
    (ff / "original_sequences").rename(ff / "elsewhere")
    alone = load_faceforensics(ff, methods="Deepfakes")
    assert (read_pair(alone[0])[1] == 1).all()
    with pytest.raises(DataError, match="fakeness is not known without the real picture, a mask"):
        read_pair(alone[-1])


# --- Celeb-DF --------------------------------------------------------------------------------


@pytest.fixture
def celeb(tmp_path: Path, picture: Writer) -> Path:
    root = tmp_path / "celeb"
    for video in ("id0_0000", "id1_0002"):
        picture(root / "Celeb-real/frames" / video / "000.png", 40)
    picture(root / "Celeb-synthesis/frames/id0_id1_0000/000.png", 70)
    picture(root / "Celeb-synthesis/frames/id1_id0_0002/000.png", 70)
    picture(root / "Youtube-real/frames/00170/000.png", 40)
    listed = ("1 YouTube-real/00170.mp4", "0 Celeb-synthesis/id0_id1_0000.mp4")
    (root / "List_of_testing_videos.txt").write_text("\n".join(listed) + "\n")
    return root


def test_celeb_df_is_paired_by_the_target_video(celeb: Path) -> None:
    assert shown(load_celeb_df(celeb), celeb) == {
        "Celeb-synthesis/id0_id1_0000/000": "Celeb-real/frames/id0_0000/000.png",
        "Celeb-synthesis/id1_id0_0002/000": "Celeb-real/frames/id1_0002/000.png",
    }


def test_celeb_df_by_its_list(celeb: Path) -> None:
    tested = [pair.id for pair in load_celeb_df(celeb, split="test")]
    assert tested == ["YouTube-real/00170/000", "Celeb-synthesis/id0_id1_0000/000"]
    trained = [pair.id for pair in load_celeb_df(celeb, split="train")]
    assert trained == [
        "Celeb-real/id0_0000/000",
        "Celeb-real/id1_0002/000",
        "Celeb-synthesis/id1_id0_0002/000",
    ]
    with pytest.raises(UnknownNameError, match="unknown split 'valid'; .*known: test, train"):
        load_celeb_df(celeb, split="valid")
    (celeb / "List_of_testing_videos.txt").unlink()
    with pytest.raises(DataError, match="List_of_testing_videos.txt: cannot be read .*: copy the"):
        load_celeb_df(celeb, split="test")


def test_celeb_df_with_videos_right_in_its_folders(celeb: Path) -> None:
    for name in ("Celeb-real", "Celeb-synthesis", "Youtube-real"):
        (celeb / name / "frames").rename(celeb / "moved")
        (celeb / name).rmdir()
        (celeb / "moved").rename(celeb / name)
    assert len(load_celeb_df(celeb)) == 5
    video = celeb / "Celeb-real/id1_0002"
    video.rename(video.with_name("id2_0002"))
    with pytest.raises(DataError, match=r"Celeb-real: the frames of 1 real videos .*\(id1_0002\)"):
        load_celeb_df(celeb)


def test_a_folder_that_is_no_celeb_df(celeb: Path) -> None:
    with pytest.raises(DataError, match="Celeb-real: expected Celeb-real/, Celeb-synthesis/ and"):
        load_celeb_df(celeb / "Celeb-real")
    with pytest.raises(DataError, match="no such folder: .*nowhere: give the folder that holds Ce"):
        load_celeb_df(celeb / "nowhere")


# --- DFFD ------------------------------------------------------------------------------------


@pytest.fixture
def dffd(tmp_path: Path, picture: Writer) -> Path:
    root = tmp_path / "dffd"
    for split in ("train", "validation", "test"):
        for part in ("ffhq", "faceapp", "stargan", "stylegan_ffhq"):
            picture(root / part / split / "00001.png", 40)
        picture(root / "faceapp" / f"{split}_mask" / "00001.png", 51)
    (root / "_lists").mkdir()
    return root


def test_parts_of_dffd_by_their_nature(dffd: Path) -> None:
    pairs = {pair.id: pair for pair in load_dffd(dffd, split="valid")}
    assert list(pairs) == [
        "ffhq/valid/00001",
        "faceapp/valid/00001",
        "stargan/valid/00001",
        "stylegan_ffhq/valid/00001",
    ]
    assert not read_pair(pairs["ffhq/valid/00001"])[1].any()
    assert read_pair(pairs["faceapp/valid/00001"])[1].mean() == pytest.approx(0.2, abs=1e-6)
    assert (read_pair(pairs["stylegan_ffhq/valid/00001"])[1] == 1).all()
    with pytest.raises(DataError, match="fakeness is not known"):
        read_pair(pairs["stargan/valid/00001"])
    assert len(load_dffd(dffd)) == 12
    assert {pair.generator for pair in load_dffd(dffd, parts="stargan")} == {"stargan"}


def test_what_is_missing_of_dffd_is_named(dffd: Path, picture: Writer) -> None:
    with pytest.raises(UnknownNameError, match="part of this set 'face_app'; did you mean 'facea"):
        load_dffd(dffd, parts=["face_app"])
    with pytest.raises(UnknownNameError, match="unknown split 'validation'; did you mean 'valid'"):
        load_dffd(dffd, split="validation")
    (dffd / "faceapp/test_mask/00001.png").rename(dffd / "faceapp/test_mask/00002.png")
    with pytest.raises(DataError, match=r"test_mask: 1 maps missing \(00001\): pairs are made by"):
        load_dffd(dffd)
    orphans: Orphans = []
    assert len(load_dffd(dffd, orphans=orphans)) == 11
    assert {(o.name, o.lacks) for o in orphans} == {("00001", "maps"), ("00002", "pictures")}
    picture(dffd / "style_gan_ffhq/test/1.png")
    with pytest.raises(UnknownNameError, match="part of DFFD 'style_gan_ffhq'; did you mean 'styl"):
        load_dffd(dffd)
    with pytest.raises(DataError, match="_lists: expected PART/{train,validation,test}/"):
        load_dffd(dffd / "_lists")


# --- all -------------------------------------------------------------------------------------


def test_sets_by_name(gans: Path) -> None:
    assert load_face_forgeries("gan-faces", gans) == load_gan_faces(gans)
    with pytest.raises(UnknownNameError, match="face forgeries 'celebdf'; did you mean 'celeb-df'"):
        load_face_forgeries("celebdf", gans)
    with pytest.raises(UnknownNameError, match="option of gan-faces 'splits'; known: generators"):
        load_face_forgeries("gan-faces", gans, splits="test")


def test_the_same_sets_as_samples(gans: Path, ff: Path, celeb: Path, dffd: Path) -> None:
    for name, root in (("gan-faces", gans), ("faceforensics", ff), ("celeb-df", celeb)):
        data = read_dataset(name, root)
        pairs = load_face_forgeries(name, root)
        assert {s.id: s.image_path for s in data.samples} == {p.id: p.image for p in pairs}
        assert data.notes["paired"] == sum(p.is_fake and p.real is not None for p in pairs)
    kinds = {s.id: (s.label, s.unmasked) for s in read_dataset("dffd", dffd).samples}
    assert kinds["ffhq/test/00001"] == ("authentic", None)
    assert kinds["faceapp/test/00001"] == ("forged", "unknown")
    assert kinds["stylegan_ffhq/test/00001"] == ("forged", "whole")
    masked = read_dataset("faceforensics", ff, methods="Deepfakes").forged
    assert [s.unmasked for s in masked] == [None] * 3 + ["unknown"] * 3
    truth = masked[0].truth()
    assert truth is not None
    assert truth.all()
    assert set(LOADERS) == {"gan-faces", "faceforensics", "celeb-df", "dffd"}
