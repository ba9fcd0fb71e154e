"""A program: servers at one object store. For each line that it reads, which is a port or 0, it starts another one, and
prints its process and its address. The servers tell a file what they have received, and end with this program.

Each is a child of this process, in which all modules are there already, so that starting many costs little.
"""

from __future__ import annotations

import os
import signal
import sys

from resumable.receiver import Receiver, S3Store, Server, UploadRecord
from resumable.receiver.s3.connection import connect


def main() -> None:
    endpoint, bucket, told = sys.argv[1:]
    client = connect(endpoint)

    def tell(record: UploadRecord) -> None:
        with open(told, "a", encoding="utf-8") as file:
            print(record.published, file=file)

    # What has ended leaves no process behind, and the end of this program is the end of the pipe.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    end, open_end = os.pipe()
    for port in sys.stdin:
        said, saying = os.pipe()
        child = os.fork()
        if not child:
            os.close(open_end)
            store = S3Store(bucket, "in", client=client, part_size=2048, lease=2)
            with Server(Receiver(store, on_file_received=tell), port=int(port)) as server:
                os.write(saying, server.url.encode())
                os.close(saying)
                os.read(end, 1)
                os._exit(0)
        os.close(saying)
        with open(said, encoding="ascii") as answer:
            print(child, answer.read(), flush=True)


if __name__ == "__main__":
    main()
