// Calls tools with the client of the extension for tasks, as one that knows tasks: it follows them until
// they have ended and answers what they ask. Prints what came of each call.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { createTaskSessionFromClient, resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client';

const { url, headers, calls, answers } = JSON.parse(process.argv[2]);
const protocolVersion = '2026-07-28';
const clientInfo = { name: 'tasks', version: '1.0.0' };
const clientCapabilities = { elicitation: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } };

// The last message of an answer, in JSON or as events.
async function response(reply) {
    const text = await reply.text();
    const events = [...text.matchAll(/^data: ?(.+)$/gm)].map(([, data]) => data);
    return JSON.parse(events.at(-1) ?? text);
}

// The client itself refuses answers that are tasks, so the extension's have a way of their own.
let id = 0;
async function rawDispatch({ method, params }, { signal, context } = {}) {
    const name = params.name ?? params.taskId;
    const request = {
        accept: 'application/json, text/event-stream',
        'content-type': 'application/json',
        'mcp-protocol-version': protocolVersion,
        'mcp-method': method,
        ...(name && { 'mcp-name': name })
    };
    const body = JSON.stringify({ jsonrpc: '2.0', id: (id += 1), method, params });
    const all = new Headers({ ...headers, ...request });
    for (const [key, value] of Object.entries(context?.headers ?? {})) all.set(key, value);
    const { result, error } = await response(await fetch(url, { method: 'POST', headers: all, body, signal }));
    return error ? { kind: 'error', error } : { kind: 'result', result };
}

const client = new Client(clientInfo, { capabilities: clientCapabilities, versionNegotiation: { mode: 'auto' } });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
const v2RequestFraming = { protocolVersion, clientInfo, clientCapabilities };
const onInputRequest = async request => answers[request.kind];
const session = createTaskSessionFromClient(client, { endpointId: 'tests', rawDispatch, v2RequestFraming, onInputRequest });
const outcomes = [];
for (const { name, arguments: given } of calls) {
    try {
        const execution = await session.callTool(name, given);
        const { outcome } = await execution.settle();
        outcomes.push({ result: resultFromTaskOutcome(outcome) });
    } catch (error) {
        outcomes.push({ error: { name: error.name, code: error.code, message: error.message } });
    }
}
await session.close();
await client.close();
console.log(JSON.stringify(outcomes));
