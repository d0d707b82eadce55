// Jobs as an application on BullMQ leaves them: run with REDIS_PORT and a folder where bullmq is installed.
import { createRequire } from "node:module";

const { FlowProducer, Queue, Worker } = createRequire(`${process.argv[2]}/`)("bullmq");
const connection = { host: "127.0.0.1", port: Number(process.env.REDIS_PORT), password: "secret" };
const open = [];
const queue = (name) => {
  const made = new Queue(name, { connection });
  open.push(made);
  return made;
};

const images = queue("image-generation");
const retry = { attempts: 5, backoff: { type: "exponential", delay: 2000 } };
await images.add("draw", { prompt: "first", userId: "ada", options: { width: 64, height: 64 } }, retry);
await images.add("draw", { prompt: "second", userId: "bob", options: { width: 64, height: 64 } });
await images.add("draw", { prompt: "tomorrow", userId: "ada" }, { delay: 86_400_000 });
await images.add("draw", { prompt: "urgent", userId: "ada" }, { priority: 3, attempts: 2, backoff: 1500 });
await images.add("draw", { prompt: "odd", userId: "ada", frobnicate: true });
await images.upsertJobScheduler("nightly", { every: 3_600_000 }, { name: "draw", data: { prompt: "nightly" } });

const postponed = await images.add("draw", { prompt: "postponed", userId: "bob" }, { delay: 60_000 });
await postponed.changeDelay(172_800_000);

// A job that has failed once and waits to be tried again.
const flaky = queue("image_generation");
const hourly = { attempts: 3, backoff: { type: "fixed", delay: 3_600_000 } };
await flaky.add("draw", { prompt: "again", userId: "bob" }, hourly);
const fails = () => Promise.reject(new Error("busy"));
const worker = new Worker("image_generation", fails, { connection });
await new Promise((resolve) => worker.once("failed", resolve));
await worker.close();

const render = queue("render");
await render.add("clip", { text: "waves", userId: "ada", refs: [], seconds: 2, callback: "http://old.example" });
await render.add("mystery", { anything: 1 });

const upscale = queue("imageUpscale");
await upscale.add("x2", { imageUrl: "https://example.com/a.png", userId: "bob", scale: 2 });
await upscale.pause();

const flow = new FlowProducer({ connection });
const child = { name: "draw", queueName: "image-generation", data: { prompt: "child", userId: "bob" } };
await flow.add({ name: "album", queueName: "albums", data: {}, children: [child] });

await Promise.all([...open, flow].map((each) => each.close()));
