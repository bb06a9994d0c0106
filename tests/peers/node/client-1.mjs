// Drives an MCP endpoint with the TypeScript SDK's 1.x client; the script's shape is in ../python/client_2.py.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import {
    CreateMessageRequestSchema,
    ElicitRequestSchema,
    ListRootsRequestSchema
} from '@modelcontextprotocol/sdk/types.js';
import { capabilities, handlers, run } from './report.mjs';

const schemas = {
    'elicitation/create': ElicitRequestSchema,
    'sampling/createMessage': CreateMessageRequestSchema,
    'roots/list': ListRootsRequestSchema
};

function transportOf({ transport = 'http', url, headers, process: child }) {
    const requestInit = { headers };
    if (transport === 'stdio') return new StdioClientTransport(child);
    if (transport === 'ws') return new WebSocketClientTransport(new URL(url));
    if (transport === 'sse') return new SSEClientTransport(new URL(url), { requestInit });
    return new StreamableHTTPClientTransport(new URL(url), { requestInit });
}

await run(async script => {
    const client = new Client({ name: 'typescript-1', version: '1.0.0' }, { capabilities: capabilities(script) });
    for (const [method, answer] of handlers(script)) client.setRequestHandler(schemas[method], answer);
    const told = new Set();
    client.fallbackNotificationHandler = async ({ method }) => void told.add(method);
    const transport = transportOf(script);
    // Only one of the transports remembers what was agreed on.
    let protocolVersion;
    const { setProtocolVersion } = transport;
    transport.setProtocolVersion = version => {
        protocolVersion = version;
        setProtocolVersion?.call(transport, version);
    };
    await client.connect(transport);
    return {
        client,
        told,
        protocolVersion,
        call: (params, options) => client.callTool(params, undefined, options)
    };
});
