// What both Express peers share: the authenticated, validated HTTP side of a job API.
'use strict';
const express = require('express');
const jwt = require('jsonwebtoken');
const { z } = require('zod');

const side = z.number().int().min(64).max(2048);
const Submission = z.object({
  prompt: z.string().min(1).max(4000),
  model: z.string(),
  provider: z.string(),
  options: z.object({ width: side, height: side }),
});

function caller(req, res, next) {
  const [scheme, token] = (req.headers.authorization ?? '').split(' ');
  try {
    if (scheme !== 'Bearer') throw new Error('no token');
    req.userId = jwt.verify(token, process.env.JWT_SECRET, { algorithms: ['HS256'] }).sub;
  } catch {
    return res.status(401).json({ error: 'unauthenticated' });
  }
  return next();
}

// queue: submit(data) → id, find(id) → job, completed() → number.
exports.serve = (queue) => {
  const app = express();
  app.disable('x-powered-by');
  app.use(express.json({ limit: '1mb' }));
  app.get('/completed', async (_req, res) => res.json({ completed: await queue.completed() }));
  app.post('/api/jobs/image-generation', caller, async (req, res) => {
    const checked = Submission.safeParse(req.body);
    if (!checked.success) return res.status(422).json({ error: checked.error.issues });
    const jobId = await queue.submit({ ...checked.data, userId: req.userId });
    return res.status(202).json({ jobId, status: 'QUEUED' });
  });
  app.get('/api/jobs/:id', caller, async (req, res) => {
    const job = await queue.find(req.params.id);
    if (job?.userId !== req.userId) return res.status(404).json({ error: 'not found' });
    return res.json({ jobId: req.params.id, ...job });
  });
  app.listen(Number(process.env.PORT), '127.0.0.1');
};

// What a job that generates nothing leaves behind.
exports.finished = (id) => ({ resultUrl: `https://storage.googleapis.com/bucket/${id}.png` });

// The work of a job: to wait, as for a service.
const milliseconds = Number(process.env.JOB_MS ?? 0);
exports.work = () => (milliseconds ? new Promise((done) => setTimeout(done, milliseconds)) : undefined);
