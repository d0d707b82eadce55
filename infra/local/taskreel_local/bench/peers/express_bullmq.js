// A job API on Express, BullMQ and Redis, and its worker: `node express_bullmq.js api|worker`.
'use strict';
const { serve, finished, work } = require('./express_api');
const { Queue, Worker } = require('bullmq');

const NAME = 'image-generation';
const connection = { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) };

function api() {
  const defaultJobOptions = { attempts: 3, backoff: { type: 'exponential', delay: 1000 } };
  const queue = new Queue(NAME, { connection, defaultJobOptions });
  serve({
    submit: async (data) => (await queue.add(NAME, data)).id,
    find: async (id) => {
      const job = await queue.getJob(id);
      return job && { userId: job.data.userId, status: await job.getState(), progress: job.progress, result: job.returnvalue };
    },
    completed: () => queue.getCompletedCount(),
  });
}

async function generate(job) {
  await job.updateProgress(50);
  await work();
  return finished(job.id);
}

if (process.argv[2] === 'api') api();
else new Worker(NAME, generate, { connection, concurrency: 100 });
