// A job API on Express, bee-queue and Redis, and its worker: `node express_bee.js api|worker`.
'use strict';
const { serve, finished, work } = require('./express_api');
const Queue = require('bee-queue');

const NAME = 'image-generation';
const redis = { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) };

function api() {
  const queue = new Queue(NAME, { redis, isWorker: false, getEvents: false, removeOnSuccess: false });
  serve({
    submit: async (data) => (await queue.createJob(data).timeout(1_800_000).retries(3).backoff('exponential', 1000).save()).id,
    find: async (id) => {
      const job = await queue.getJob(id);
      return job && { userId: job.data.userId, status: job.status, progress: job.progress };
    },
    completed: async () => (await queue.checkHealth()).succeeded,
  });
}

function startWorker() {
  const queue = new Queue(NAME, { redis, getEvents: false, removeOnSuccess: false });
  queue.process(100, async (job) => {
    job.reportProgress(50);
    await work();
    return finished(job.id);
  });
}

if (process.argv[2] === 'api') api();
else startWorker();
