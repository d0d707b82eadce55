// The stock client. Prints what happens, one JSON value a line.
// Usage: socket_client.mjs URL OPTIONS   (OPTIONS: JSON for io(), and `emit`: [[name, value], …])
import { io } from "socket.io-client";

const { emit = [], ...options } = JSON.parse(process.argv[3] ?? "{}");
const print = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const socket = io(process.argv[2], options);
let asked = false;

socket.on("connect", async () => {
  print({ connect: true, recovered: socket.recovered });
  if (asked) return;
  asked = true;
  for (const [name, value] of emit) print({ ack: await socket.emitWithAck(name, value) });
});
socket.on("connect_error", (error) => print({ refused: error.message, data: error.data ?? null }));
socket.on("disconnect", (reason) => print({ disconnect: reason }));
socket.on("jobUpdate", (data, offset) => print({ update: data, offset }));
socket.on("subscriptions", (names) => print({ subscriptions: names }));
