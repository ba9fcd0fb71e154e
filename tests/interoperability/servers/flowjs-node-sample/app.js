// The Node sample of flow.js. Its own app.js gives the verdict ("partly_done") as the status, which Node refuses since
// version 12; this one answers as that of the repository does: 200 or 500, and 204 to a test for a missing chunk.
const express = require("express");
const multipart = require("connect-multiparty");
const flow = require("@flowjs/flow.js/samples/Node.js/flow-node.js")("chunks");

const app = express();
app.post("/upload", multipart(), (request, response) =>
  flow.post(request, (verdict) => response.status(/^(partly_)?done$/.test(verdict) ? 200 : 500).send(verdict)),
);
app.get("/upload", (request, response) =>
  flow.get(request, (verdict) => response.status(verdict === "found" ? 200 : 204).send()),
);
app.listen(Number(process.argv[2]), "127.0.0.1");
