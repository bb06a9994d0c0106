// Drives an MCP endpoint with the TypeScript SDK's 1.x client; the script's shape is in ../python/client_2.py.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { run } from './report.mjs';

await run(async ({ url, headers }) => {
    const client = new Client({ name: 'typescript-1', version: '1.0.0' });
    const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
    await client.connect(transport);
    return {
        client,
        protocolVersion: transport.protocolVersion,
        call: (params, options) => client.callTool(params, undefined, options)
    };
});
