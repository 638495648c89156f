// Pictures that a model makes: from Gemini's format to OpenAI's and Google's SDKs, whole and streamed, paid for and sent back.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { startGateway } from "./rig.mjs";
import { startUpstream } from "./upstream.mjs";

const MODEL = "gemini-2.5-flash-image";
const PICTURE = { inlineData: { mimeType: "image/png", data: "iVBORw0KGgo=" }, thoughtSignature: "c2ln" };
const ANSWER = {
  responseId: "r1", modelVersion: MODEL,
  candidates: [{ index: 0, finishReason: "STOP", content: { role: "model", parts: [{ text: "Here:" }, PICTURE] } }],
  usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 1292, totalTokenCount: 1295, candidatesTokensDetails: [{ modality: "IMAGE", tokenCount: 1290 }, { modality: "TEXT", tokenCount: 2 }] },
};
/** $0.30 for input, $2.50 for words, $30 for pictures, each a million tokens. */
const COST_NANOUSD = 3 * 300 + 2 * 2_500 + 1_290 * 30_000;
const URL_OF_IT = `data:image/png;base64,${PICTURE.inlineData.data}`;

describe("pictures", { concurrency: 1 }, () => {
  let gw, up, openai, gemini;
  before(async () => {
    [gw, up] = await Promise.all([startGateway(), startUpstream()]);
    await gw.putConfig({ providers: { gemini: { base_url: `${up.url}/v1beta`, api_key: "secret://UP_KEY" } }, routes: [{ name: "all" }] });
    const { secret } = await gw.tenant({ customer: { budget_usd: { total: 10 } } });
    openai = new OpenAI({ apiKey: secret, baseURL: `${gw.url}/v1`, maxRetries: 0 });
    gemini = new GoogleGenAI({ apiKey: secret, httpOptions: { baseUrl: gw.url } });
  });
  after(async () => { await gw?.stop(); await up?.stop(); });

  const whole = () => up.next({ raw: JSON.stringify(ANSWER), content_type: "application/json" });
  const streamed = () => up.next({ raw: `data: ${JSON.stringify(ANSWER)}\r\n\r\n`, content_type: "text/event-stream" });
  const charged = async (id) => assert.deepEqual((await gw.rows(id)).map((row) => row.cost_nanousd), [COST_NANOUSD]);
  const asked = { model: `gemini/${MODEL}`, modalities: ["text", "image"], messages: [{ role: "user", content: "a cat" }] };

  it("reach OpenAI's SDK beside the text, and come back as the model's", async () => {
    whole();
    const { data, response } = await openai.chat.completions.create(asked).withResponse();
    const [{ message }] = data.choices;
    assert.equal(message.content, "Here:");
    assert.equal(message.images[0].image_url.url, URL_OF_IT);
    assert.equal(data.usage.completion_tokens_details.image_tokens, 1290);
    assert.deepEqual(up.last.body.generationConfig.responseModalities, ["TEXT", "IMAGE"]);
    await charged(response.headers.get("x-edgehold-request-id"));
    whole();
    await openai.chat.completions.create({ ...asked, messages: [...asked.messages, message, { role: "user", content: "at night" }] });
    assert.deepEqual(up.last.body.contents[1], { role: "model", parts: [{ text: "Here:" }, PICTURE] });
  });

  it("are in its streams", async () => {
    streamed();
    const { data, response } = await openai.chat.completions.create({ ...asked, stream: true }).withResponse();
    let text = "", images = [], end = null;
    for await (const { choices: [choice] } of data) {
      text += choice?.delta.content ?? "";
      images.push(...(choice?.delta.images ?? []));
      end ??= choice?.finish_reason;
    }
    assert.deepEqual([text, images.map((image) => image.image_url.url), end], ["Here:", [URL_OF_IT], "stop"]);
    await charged(response.headers.get("x-edgehold-request-id"));
  });

  it("are results of calls in Responses, whole and streamed", async () => {
    const request = { model: `gemini/${MODEL}`, input: "a cat", store: false };
    whole();
    const { output, output_text: text } = await openai.responses.create(request);
    assert.equal(text, "Here:");
    assert.equal(output.find((item) => item.type === "image_generation_call").result, PICTURE.inlineData.data);
    streamed();
    const stream = openai.responses.stream(request);
    const final = await stream.finalResponse();
    assert.equal(final.output.find((item) => item.type === "image_generation_call").result, PICTURE.inlineData.data);
  });

  it("pass untouched to Google's SDK", async () => {
    whole();
    const { candidates: [{ content }] } = await gemini.models.generateContent({ model: `gemini/${MODEL}`, contents: "a cat", config: { responseModalities: ["TEXT", "IMAGE"] } });
    assert.deepEqual(content.parts, [{ text: "Here:" }, PICTURE]);
  });

  it("are refused where the price says nothing of them", async () => {
    const before = up.requests.length;
    await assert.rejects(openai.chat.completions.create({ ...asked, model: "gemini/gemini-2.5-flash" }), (error) => error.status === 400 && error.param === "modalities");
    assert.equal(up.requests.length, before);
  });

  it("left no panic behind", () => assert.deepEqual(gw.panics(), []));
});
