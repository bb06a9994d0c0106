// The half that both TypeScript clients share: list the tools, make the calls, print what came back.
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

async function outcome(call, wanted) {
    while (wanted.after && !existsSync(wanted.after)) await setTimeout(10);
    const progress = [];
    try {
        const onprogress = update => progress.push(update.progress);
        const result = await call({ name: wanted.name, arguments: wanted.arguments ?? {} }, { onprogress });
        return { result, progress };
    } catch (error) {
        return { error: { code: error.code, message: error.message, data: error.data } };
    }
}

export async function run(connect) {
    const script = JSON.parse(process.argv[2]);
    const { client, protocolVersion, call } = await connect(script);
    const { tools } = await client.listTools();
    const calls = [];
    for (const wanted of script.calls) calls.push(await outcome(call, wanted));
    await client.close();
    console.log(JSON.stringify({ protocolVersion, tools: tools.map(tool => tool.name), calls }));
}
