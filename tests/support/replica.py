"""A program: one of several servers at one object store. It prints its URL, and tells a file what it has received."""

from __future__ import annotations

import os
import sys
import threading

from resumable.receiver import Receiver, S3Store, Server, UploadRecord


def main() -> None:
    endpoint, bucket, told = sys.argv[1:]

    def tell(record: UploadRecord) -> None:
        with open(told, "a", encoding="utf-8") as file:
            print(record.published, file=file)

    store = S3Store(bucket, "in", endpoint_url=endpoint, part_size=2048, lease=2)
    with Server(Receiver(store, on_file_received=tell)) as server:
        print(server.url, flush=True)
        # It ends when it is killed, or when whoever started it does.
        threading.Thread(target=sys.stdin.read, daemon=True).run()
        os._exit(0)


if __name__ == "__main__":
    main()
