// The formats of the proofs' load: what a client of each asks, and how a provider of each answers.

const read = (value) => (typeof value === "string" ? [value] : Array.isArray(value) ? value.flatMap(read) : value === null || typeof value !== "object" ? [] : read(value.text ?? value.content ?? value.parts ?? []));
const sse = (data, event) => `${event ? `event: ${event}\n` : ""}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
const typed = (data) => sse(data, data.type);

/** How the lengths of texts and their reasons are told: `full`, or cut at the cap. */
const reason = (cut, whole, cap) => (cut ? cap : whole);

/**
 * Of each format that a provider speaks: whether a path is its, what it reads of a body (texts, messages, cap, stream), its
 * whole answer, and the pieces of its stream. `did` is {id, model, text, input, cached, output, cut}: tokens, and whether the cap
 * ended it.
 */
export const PROVIDERS = {
  chat: {
    path: /\/chat\/completions$/,
    read: (body) => ({ texts: read(body.messages), messages: body.messages.length, cap: body.max_tokens ?? body.max_completion_tokens, stream: body.stream === true, counts: body.stream_options?.include_usage }),
    usage: ({ input, cached, output }) => ({
      prompt_tokens: input, completion_tokens: output, total_tokens: input + output,
      prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
    }),
    whole(did) {
      return { id: `chatcmpl-${did.id}`, created: 1_790_000_000, model: did.model, object: "chat.completion", choices: [{ index: 0, message: { role: "assistant", content: did.text, refusal: null }, logprobs: null, finish_reason: reason(did.cut, "stop", "length") }], usage: this.usage(did) };
    },
    chunk: ({ id, model }, delta, finish_reason = null) => sse({ id: `chatcmpl-${id}`, created: 1_790_000_000, model, object: "chat.completion.chunk", choices: [{ index: 0, delta, logprobs: null, finish_reason }] }),
    head(did) { return this.chunk(did, { role: "assistant", content: "", refusal: null }); },
    piece(did, text) { return this.chunk(did, { content: text }); },
    tail(did, counts) {
      const { id, model } = did;
      const usage = { id: `chatcmpl-${id}`, created: 1_790_000_000, model, object: "chat.completion.chunk", choices: [], usage: this.usage(did) };
      return [this.chunk(did, {}, reason(did.cut, "stop", "length")), ...(counts ? [sse(usage)] : []), sse("[DONE]")].join("");
    },
    error: sse({ error: { message: "the provider broke", type: "server_error", param: null, code: null } }),
  },
  messages: {
    path: /\/messages$/,
    read: (body) => ({ texts: [...read(body.system ?? []), ...read(body.messages)], messages: body.messages.length + (body.system === undefined ? 0 : 1), cap: body.max_tokens, stream: body.stream === true }),
    usage: ({ input, cached, output }) => ({ input_tokens: input - cached, cache_creation_input_tokens: 0, cache_read_input_tokens: cached, output_tokens: output }),
    message(did, more) { return { id: `msg_${did.id}`, type: "message", role: "assistant", model: did.model, content: [], stop_reason: null, stop_sequence: null, ...more }; },
    whole(did) { return this.message(did, { content: [{ type: "text", text: did.text }], stop_reason: reason(did.cut, "end_turn", "max_tokens"), usage: this.usage(did) }); },
    head(did) {
      return typed({ type: "message_start", message: this.message(did, { usage: this.usage({ ...did, output: 1 }) }) }) + typed({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
    },
    piece: (did, text) => typed({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } }),
    tail: (did) => typed({ type: "content_block_stop", index: 0 }) + typed({ type: "message_delta", delta: { stop_reason: reason(did.cut, "end_turn", "max_tokens"), stop_sequence: null }, usage: { output_tokens: did.output } }) + typed({ type: "message_stop" }),
    error: typed({ type: "error", error: { type: "api_error", message: "the provider broke" } }),
  },
  generate: {
    path: /:(streamG|g)enerateContent$/,
    read: (body, { pathname }) => ({ texts: [...read(body.systemInstruction ?? []), ...read(body.contents)], messages: body.contents.length + (body.systemInstruction ? 1 : 0), cap: body.generationConfig?.maxOutputTokens, stream: pathname.endsWith(":streamGenerateContent") }),
    usage: ({ input, cached, output }) => ({ promptTokenCount: input, ...(cached ? { cachedContentTokenCount: cached } : {}), candidatesTokenCount: output, totalTokenCount: input + output }),
    candidate(did, text, more) { return { candidates: [{ index: 0, content: { role: "model", parts: [{ text }] }, ...more }], usageMetadata: this.usage(did), modelVersion: did.model, responseId: did.id }; },
    whole(did) { return this.candidate(did, did.text, { finishReason: reason(did.cut, "STOP", "MAX_TOKENS") }); },
    head: () => "",
    piece(did, text) { return sse(this.candidate({ ...did, output: 1 }, text)); },
    tail(did) { return sse(this.candidate(did, "", { finishReason: reason(did.cut, "STOP", "MAX_TOKENS") })); },
    error: sse({ error: { code: 500, message: "the provider broke", status: "INTERNAL" } }),
  },
  embeddings: {
    path: /\/embeddings$/,
    read: (body) => ({ texts: [body.input].flat(), messages: 0, cap: 0, stream: false }),
    whole: ({ model, input }) => ({ object: "list", model, data: [{ object: "embedding", index: 0, embedding: [0.25, -0.5] }], usage: { prompt_tokens: input, total_tokens: input } }),
  },
};

const SYSTEM = "Answer at length.";

/**
 * Of each format that a client speaks: where and what it asks for a job whose prompt is `prompt`, and whether a stream's text is
 * all of it.
 */
export const CLIENTS = {
  chat: {
    ask: ({ model, max_tokens, stream, include_usage }, prompt) => ["/v1/chat/completions", {
      model, messages: [{ role: "system", content: SYSTEM }, { role: "user", content: prompt }], max_tokens,
      ...(stream ? { stream: true, ...(include_usage ? { stream_options: { include_usage: true } } : {}) } : {}),
    }],
    whole: (text) => /^data: \[DONE\]\s*$/m.test(text) && !text.includes('"error"'),
  },
  responses: {
    ask: ({ model, max_tokens, stream }, prompt) => ["/v1/responses", { model, instructions: SYSTEM, input: prompt, max_output_tokens: max_tokens, store: false, ...(stream ? { stream: true } : {}) }],
    whole: (text) => /^event: response\.(completed|incomplete)$/m.test(text) && !/^event: error$/m.test(text),
  },
  messages: {
    ask: ({ model, max_tokens, stream }, prompt) => ["/v1/messages", { model, system: SYSTEM, messages: [{ role: "user", content: prompt }], max_tokens, ...(stream ? { stream: true } : {}) }],
    whole: (text) => /^event: message_stop$/m.test(text) && !/^event: error$/m.test(text),
  },
  generate: {
    ask: ({ model, max_tokens, stream }, prompt) => [`/v1beta/models/${model}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`, { systemInstruction: { parts: [{ text: SYSTEM }] }, contents: [{ role: "user", parts: [{ text: prompt }] }], generationConfig: { maxOutputTokens: max_tokens } }],
    whole: (text) => text.includes('"finishReason"') && !text.includes('"error"'),
  },
  embeddings: { ask: ({ model }, prompt) => ["/v1/embeddings", { model, input: prompt }], whole: () => false },
};
