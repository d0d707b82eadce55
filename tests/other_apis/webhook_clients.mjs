// The scenario of `test_client_webhooks`, with the released JavaScript clients and a server of their user's.
// What comes for fal is verified by a package that others have written for fal's own webhooks.
import { createServer } from "node:http";
import { fal } from "@fal-ai/client";
import { WebhookVerificationService, getPlatformAlgorithmConfig } from "@hookflo/tern";
import Replicate, { validateWebhook } from "replicate";

const { API_URL: url, API_TOKEN: token, RECEIVER_PORT: port } = process.env;
const arrived = [];
let wake = () => {};

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  arrived.push(new Request(`http://receiver${request.url}`, { method: "POST", headers: request.headers, body: Buffer.concat(chunks) }));
  response.writeHead(204).end();
  wake();
});

async function receive() {
  while (arrived.length === 0) await new Promise((resolve) => (wake = resolve));
  return arrived.shift();
}

await new Promise((resolve) => server.listen(Number(port), "127.0.0.1", resolve));
fal.config({ credentials: token, proxyUrl: { url: `${url}/fal/proxy`, when: "always" } });
const submitted = await fal.queue.submit("fal-ai/flux/schnell", {
  input: { prompt: "a kite", image_size: { width: 64, height: 64 } },
  webhookUrl: `http://127.0.0.1:${port}/fal`,
});
const falRequest = await receive();
const ofFal = await falRequest.clone().json();

const { signatureConfig } = getPlatformAlgorithmConfig("falai");
const jwksUrl = `${url}/fal/rest/.well-known/jwks.json`;
const verifier = {
  platform: "falai",
  secret: "",
  toleranceInSeconds: 1e9, // the server's clock is a virtual one
  signatureConfig: { ...signatureConfig, customConfig: { ...signatureConfig.customConfig, jwksUrl } },
};
const changed = new Request(falRequest.url, { method: "POST", headers: falRequest.headers, body: "{}" });
const falValid = (await WebhookVerificationService.verify(falRequest.clone(), verifier)).isValid;
const falForged = (await WebhookVerificationService.verify(changed, verifier)).isValid;

const replicate = new Replicate({ baseUrl: `${url}/replicate/v1`, auth: token });
const { key } = await replicate.webhooks.default.secret.get();
const prediction = await replicate.predictions.create({
  model: "black-forest-labs/flux-schnell",
  input: { prompt: "a kite", width: 64, height: 64 },
  webhook: `http://127.0.0.1:${port}/replicate`,
});
const request = await receive();
const valid = await validateWebhook(request.clone(), key);
const forged = await validateWebhook(request.clone(), `whsec_${Buffer.alloc(32).toString("base64")}`);
const ofReplicate = await request.json();
server.close();

console.log(
  JSON.stringify({
    fal: { id: submitted.request_id, message: ofFal, valid: falValid, forged: falForged },
    replicate: { id: prediction.id, message: ofReplicate, valid, forged },
  }),
);
