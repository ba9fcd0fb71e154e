"""Names of files, of folders, and parameters that a server does not know."""

from __future__ import annotations

from ..target import Target
from .base import Check, CheckFailed, CheckSkipped, Sample, Severity, accepted, check, need_files

__all__ = ["CHECKS"]


def _one_chunk(target: Target, **names: str) -> Sample:
    """Send a file of a single chunk under this name."""
    sample = Sample.of(target, 1, **names)
    sample.deliver()
    sample.expect_whole()
    return sample


def _key(target: Target) -> str:
    """Return a name that no other file has."""
    return Sample(target, 0).name.removesuffix(".bin")


@check(
    "letters-in-names",
    Severity.MUST,
    "A name may contain letters of all languages.",
    "Read the query and the form as UTF-8. Use names as they are, or store the file under a name of your own.",
)
def letters_in_names(target: Target) -> None:
    """Send a file whose name is German, Japanese and a picture."""
    _one_chunk(target, name=f"{_key(target)} Größe 日本 🎈.bin")


@check(
    "signs-in-names",
    Severity.MUST,
    "A name may contain spaces, and characters with a meaning in URLs.",
    "Decode the parameters of a query once, and do not refuse names for such characters: + & = # % ; ' are common in "
    "names.",
)
def signs_in_names(target: Target) -> None:
    """Send a file with such a name."""
    _one_chunk(target, name=f"{_key(target)} a+b&c=d#e;f'%41%20.bin")


@check(
    "long-name",
    Severity.SHOULD,
    "A name may be 200 letters long.",
    "Shorten what you add to a name: file systems allow 255 bytes.",
)
def long_name(target: Target) -> None:
    """Send a file with a name of 200 letters."""
    key = _key(target)
    _one_chunk(target, name=f"{key}-{'x' * (195 - len(key))}.bin")


@check(
    "same-name",
    Severity.SHOULD,
    "Two files of the same name are both stored.",
    "Give the second one another name, or refuse it: after a 200, each of the two clients believes that its file is "
    "stored.",
)
def same_name(target: Target) -> None:
    """Send two files of one name."""
    need_files(target)
    first = _one_chunk(target)
    _one_chunk(target, name=first.name)
    _expect_kept(first)


@check(
    "same-name-in-two-folders",
    Severity.SHOULD,
    "Two files of the same name in two folders are both stored.",
    "Store the file under resumableRelativePath, or give the second one another name.",
    "same-name",
    "file-in-folder",
)
def same_name_in_two_folders(target: Target) -> None:
    """Send two files whose relative paths differ in the folder."""
    need_files(target)
    key = _key(target)
    first = _one_chunk(target, name=f"{key}.bin", relative_path=f"{key}-a/{key}.bin")
    _one_chunk(target, name=f"{key}.bin", relative_path=f"{key}-b/{key}.bin")
    _expect_kept(first)


@check(
    "file-in-folder",
    Severity.MUST,
    "A file whose relative path has folders is stored.",
    "Create the folders of resumableRelativePath, or ignore it: clients that upload a directory send such paths.",
)
def file_in_folder(target: Target) -> None:
    """Send a file in a folder in a folder."""
    key = _key(target)
    _one_chunk(target, name=f"{key}.bin", relative_path=f"{key}/sub folder/{key}.bin")


@check(
    "path-stays-inside",
    Severity.MUST,
    "A name cannot lead out of the directory of the server.",
    "Refuse names and paths that contain .., or drop such parts; never join them to a directory as they are.",
)
def path_stays_inside(target: Target) -> None:
    """Send a file whose name and path begin with ``../``."""
    if target.directory is None:
        raise CheckSkipped("where the server puts its files is not known")
    name = Sample(target, 0).name
    outside = target.directory.resolve().parent / name
    sample = Sample.of(target, 1, name=f"../{name}")
    answer = sample.send(1)
    if outside.exists():
        raise CheckFailed(f"{answer}, and the file is at {outside}")


@check(
    "identifier-stays-inside",
    Severity.MUST,
    "An identifier cannot lead out of the directory of the server.",
    "Do not build a path from the identifier, or hash it first: like any other text of a client, it can be anything.",
)
def identifier_stays_inside(target: Target) -> None:
    """Send one chunk of a file whose identifier begins with ``../``."""
    if target.directory is None:
        raise CheckSkipped("where the server puts its files is not known")
    key = _key(target)
    sample = Sample.of(target, 3, identifier=f"../{key}")
    answer = sample.send(1)
    for path in target.directory.resolve().parent.glob(f"{key}*"):
        raise CheckFailed(f"{answer}, and there is {path}")


@check(
    "other-parameters",
    Severity.MUST,
    "Parameters that the server does not know do no harm.",
    "Ignore them: clients send some of their own, and later versions may send more.",
    "missing-chunk",
)
def other_parameters(target: Target) -> None:
    """Send and ask with two more parameters."""
    sample = Sample.of(target, 1)
    more = [("checkOf", "resumable"), ("check[]", "a b")]
    answer = target.test("test with other parameters", [*more, *sample.parameters(1)])
    if target.succeeded(answer):
        raise CheckFailed(f"{answer}, though the chunk was not sent")
    target.sent[sample.name] = True
    accepted(target.upload("with other parameters", [*sample.parameters(1), *more], sample.content, sample.name))
    sample.expect_whole()


@check(
    "parameters-in-query",
    Severity.SHOULD,
    "The parameters of a chunk may be in the query only.",
    "Read them from the query if they are not in the form: some clients send them nowhere else.",
)
def parameters_in_query(target: Target) -> None:
    """Send one chunk with nothing but the file in its form."""
    if target.params_in == "form":
        raise CheckSkipped("the parameters are in the form")
    sample = Sample.of(target, 1)
    sample.deliver(params_in="query")
    sample.expect_whole()


@check(
    "parameters-in-form",
    Severity.SHOULD,
    "The parameters of a chunk may be in the form only.",
    "Read them from the form if they are not in the query: flow.js sends them nowhere else.",
)
def parameters_in_form(target: Target) -> None:
    """Send one chunk to the plain URL."""
    if target.params_in == "query" or target.method == "octet":
        raise CheckSkipped("the parameters are in the query")
    sample = Sample.of(target, 1)
    sample.deliver(params_in="form")
    sample.expect_whole()


@check(
    "chunk-as-body",
    Severity.SHOULD,
    "The body of a request may be the chunk itself, with the parameters in the query.",
    "Treat a body that is not a form as the chunk: clients send it like this with the method octet.",
)
def chunk_as_body(target: Target) -> None:
    """Send one chunk as the body."""
    if target.params_in == "form":
        raise CheckSkipped("the parameters are in the form")
    sample = Sample.of(target, 1)
    sample.deliver(method="octet")
    sample.expect_whole()


def _expect_kept(sample: Sample) -> None:
    try:
        sample.expect_whole()
    except CheckFailed:
        raise CheckFailed("both were accepted, and the first one is not there any more") from None


CHECKS: tuple[Check, ...] = (
    letters_in_names,
    signs_in_names,
    long_name,
    same_name,
    file_in_folder,
    same_name_in_two_folders,
    path_stays_inside,
    identifier_stays_inside,
    other_parameters,
    parameters_in_query,
    parameters_in_form,
    chunk_as_body,
)
