// Drives an MCP endpoint with the TypeScript 2.x client; the script's shape is in ../python/client_2.py.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { capabilities, handlers, run } from './report.mjs';

await run(async script => {
    const options = { capabilities: capabilities(script), versionNegotiation: { mode: script.mode ?? 'auto' } };
    const client = new Client({ name: 'typescript-2', version: '1.0.0' }, options);
    for (const [method, answer] of handlers(script)) client.setRequestHandler(method, answer);
    const requestInit = { headers: script.headers };
    const transport =
        script.transport === 'stdio'
            ? new StdioClientTransport(script.process)
            : new StreamableHTTPClientTransport(new URL(script.url), { requestInit });
    await client.connect(transport);
    return {
        client,
        protocolVersion: client.getNegotiatedProtocolVersion(),
        call: (params, options) => client.callTool(params, options)
    };
});
