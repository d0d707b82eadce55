// Stands in for the server's stream of events: `begin` sends changes of the listed jobs, each fifth a new job.
const asked = window.fetch;

window.fetch = async (input, options) => {
  if (!String(input).startsWith("/api/jobs/events")) return asked(input, options);
  const headers = { Authorization: options.headers.Authorization };
  const listed = await asked("/api/jobs?limit=100&summary=true", { headers });
  const { jobs } = await listed.json();
  const encoder = new TextEncoder();
  const start = (stream) => {
    const send = (event, id, data) => {
      const text = `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
      stream.enqueue(encoder.encode(text));
    };
    send("ready", 0, {});
    window.begin = (seconds, rate) => changeJobs(jobs, seconds, rate, send);
  };
  const body = new ReadableStream({ start });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
};

function changeJobs(jobs, seconds, rate, send) {
  const began = performance.now();
  let sent = 0;
  const sendNext = () => {
    const old = jobs[sent++ % jobs.length];
    const now = new Date().toISOString();
    const status = sent % 3 ? "PROCESSING" : "COMPLETED";
    const own = sent % 5 ? {} : { jobId: `job_new${sent}`, createdAt: now };
    send("status", sent, { ...old, status, progress: sent % 100, updatedAt: now, ...own });
  };
  return new Promise((done) => {
    const timer = setInterval(() => {
      const elapsed = (performance.now() - began) / 1000;
      while (sent < elapsed * rate) sendNext();
      if (elapsed < seconds) return;
      clearInterval(timer);
      done({ sent, seconds: elapsed });
    }, 5);
  });
}

window.longTasks = [];
const note = (list) => window.longTasks.push(...list.getEntries().map((one) => one.duration));
new PerformanceObserver(note).observe({ type: "longtask" });
