"""python-resumable as its documentation mounts it in Flask, but that a test is answered truthfully, by the status."""

import sys
from pathlib import Path

import flask
from python_resumable.uploader import UploaderFlask

done, chunks = Path("done"), Path("chunks")
app = flask.Flask(__name__)


@app.get("/uploads")
def test():
    identifier, number = flask.request.args["resumableIdentifier"], flask.request.args["resumableChunkNumber"]
    return "", 200 if (chunks / identifier / f"{identifier}.{number}").exists() else 404


@app.post("/uploads")
def upload():
    form = flask.request.form
    uploader = UploaderFlask(form, str(done), str(chunks), flask.request.files["file"])
    uploader.upload_chunk()
    if uploader.check_status():
        uploader.assemble_chunks()
        uploader.cleanup()
        return {"fileUploadStatus": True, "resumableIdentifier": uploader.repo.file_id}
    return {"chunkUploadStatus": True, "resumableIdentifier": uploader.repo.file_id}


done.mkdir()
chunks.mkdir()
app.run(port=int(sys.argv[1]))
