// The same as webhook_receiver.py, with the official library for JavaScript (npm package `standardwebhooks`, installed
// globally: NODE_PATH names that folder).
const { createServer } = require("node:http");
const { createInterface } = require("node:readline");
const { Webhook } = require("standardwebhooks");

let secret;
const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    try {
      const body = Buffer.concat(parts).toString("utf8");
      const event = new Webhook(secret).verify(body, request.headers);
      console.log("ok", event.id, event.type);
      response.writeHead(204);
    } catch (error) {
      console.log("refused", String(error));
      response.writeHead(400);
    }
    response.end();
  });
});
createInterface({ input: process.stdin }).once("line", (line) => (secret = line.trim()));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
