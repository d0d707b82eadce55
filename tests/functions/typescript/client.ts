// A client generated from the OpenAPI document: it submits a job, waits for its end, and lists it.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [baseUrl = "", token = ""] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

function describe(problem: components["schemas"]["Problem"]): string {
  return `${problem.status} ${problem.code}: ${problem.detail}`;
}

const made = await client.POST("/api/jobs/image-generation", {
  body: { prompt: "a red kite", options: { width: 64, height: 64 } },
  params: { header: { "Idempotency-Key": "typescript-1" } },
});
if (made.error) throw new Error(describe(made.error));
if (!("jobId" in made.data)) throw new Error("a quote was not asked for");
const { jobId } = made.data;

const done = await client.GET("/api/jobs/{job_id}", {
  params: { path: { job_id: jobId }, header: { Prefer: "wait=30" } },
});
if (done.error) throw new Error(describe(done.error));

const listed = await client.GET("/api/jobs", { params: { query: { limit: 5 } } });
if (listed.error) throw new Error(describe(listed.error));

const refused = await client.GET("/api/jobs/{job_id}", {
  params: { path: { job_id: "job_none" } },
});

console.log(
  JSON.stringify({
    status: done.data.status,
    files: done.data.result?.artifacts.map((file) => file.contentType),
    listed: listed.data.jobs.map((job) => job.jobId === jobId),
    refused: refused.error?.code,
  }),
);
