// The Node sample of resumable.js as its app.js serves it: at /upload, with chunks in one folder. Every verdict is a 200.
const express = require("express");
const multipart = require("connect-multiparty");
const resumable = require("resumablejs/samples/Node.js/resumable-node.js")("chunks");

const app = express();
app.use(multipart());
app.post("/upload", (request, response) => resumable.post(request, (verdict) => response.send(verdict)));
app.get("/upload", (request, response) =>
  resumable.get(request, (verdict) => response.status(verdict === "found" ? 200 : 404).send(verdict)),
);
app.listen(Number(process.argv[2]), "127.0.0.1");
