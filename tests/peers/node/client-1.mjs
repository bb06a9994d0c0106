// Drives an MCP endpoint with the TypeScript SDK's 1.x client; the script's shape is in ../python/client_2.py.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
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

await run(async script => {
    const client = new Client({ name: 'typescript-1', version: '1.0.0' }, { capabilities: capabilities(script) });
    for (const [method, answer] of handlers(script)) client.setRequestHandler(schemas[method], answer);
    const requestInit = { headers: script.headers };
    const transport = new StreamableHTTPClientTransport(new URL(script.url), { requestInit });
    await client.connect(transport);
    return {
        client,
        protocolVersion: transport.protocolVersion,
        call: (params, options) => client.callTool(params, undefined, options)
    };
});
