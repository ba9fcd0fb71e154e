"""flowjs as its documentation uses it, in a handler of tornado."""

import asyncio
import sys
import uuid
from pathlib import Path

import flowjs
import flowjs.requests
import tornado.web

done, chunks = Path("done"), Path("chunks")


class Upload(tornado.web.RequestHandler):
    def get(self):
        self.save()

    def post(self):
        self.save()

    def save(self):
        request = flowjs.requests.TornadoRequest(self)
        config = flowjs.Config({"tempDir": str(chunks)})
        try:
            flowjs.save(str(done / f"{uuid.uuid1().hex}_{request.get_file_name()}"), config, request)
        except flowjs.NoContent:
            self.set_status(204)
        except flowjs.BadRequest:
            self.set_status(400)


async def main():
    done.mkdir()
    chunks.mkdir()
    tornado.web.Application([("/upload", Upload)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
