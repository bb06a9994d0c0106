// Drives an MCP endpoint with the TypeScript 2.x client; the script's shape is in ../python/client_2.py.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { run } from './report.mjs';

await run(async ({ url, headers, mode = 'auto' }) => {
    const client = new Client({ name: 'typescript-2', version: '1.0.0' }, { versionNegotiation: { mode } });
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    return {
        client,
        protocolVersion: client.getNegotiatedProtocolVersion(),
        call: (params, options) => client.callTool(params, options)
    };
});
