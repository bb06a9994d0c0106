// The half that both TypeScript clients share: list the tools, make the calls, print what came back.
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

const operations = {
    tool: (client, wanted, options, call) => call({ name: wanted.name, arguments: wanted.arguments ?? {} }, options),
    prompts: client => client.listPrompts(),
    prompt: (client, wanted) => client.getPrompt({ name: wanted.name, arguments: wanted.arguments }),
    resources: client => client.listResources(),
    templates: client => client.listResourceTemplates(),
    read: (client, wanted) => client.readResource({ uri: wanted.uri }),
    subscribe: (client, wanted) => client.subscribeResource({ uri: wanted.uri }),
    unsubscribe: (client, wanted) => client.unsubscribeResource({ uri: wanted.uri }),
    level: (client, wanted) => client.setLoggingLevel(wanted.level),
    listen,
    complete: (client, wanted) => client.complete({ ref: wanted.ref, argument: wanted.argument })
};

// Waits until a notification came.
async function hear(told, method) {
    for (let looks = 0; !told.has(method); looks += 1) {
        if (looks === 2000) throw new Error(`${method} did not come`);
        await setTimeout(10);
    }
    return { told: true };
}

// Opens a stream, makes a call, and says what the stream brought first.
async function listen(client, { tools, uris, name }) {
    const heard = new Promise(resolve => {
        client.setNotificationHandler('notifications/tools/list_changed', () => resolve('tools'));
        client.setNotificationHandler('notifications/resources/updated', ({ params }) => resolve(params.uri));
    });
    const stream = await client.listen({ toolsListChanged: tools, resourceSubscriptions: uris });
    await client.callTool({ name, arguments: {} });
    const result = { honoured: stream.honoredFilter, heard: await heard };
    await stream.close();
    return result;
}

async function outcome(client, call, wanted, told) {
    while (wanted.after && !existsSync(wanted.after)) await setTimeout(10);
    const progress = [];
    try {
        const onprogress = update => progress.push(update.progress);
        if (wanted.op === 'told') return { result: await hear(told, wanted.method) };
        const result = await operations[wanted.op ?? 'tool'](client, wanted, { onprogress }, call);
        return { result, progress };
    } catch (error) {
        return { error: { code: error.code, message: error.message, data: error.data } };
    }
}

// What a client says it can answer: what the script has answers for.
export function capabilities({ answers = {} }) {
    return Object.fromEntries(Object.keys(answers).map(question => [question, {}]));
}

// How it answers, by method.
export function handlers({ answers = {} }) {
    const known = {
        elicitation: ['elicitation/create', () => answers.elicitation],
        sampling: [
            'sampling/createMessage',
            () => ({
                role: 'assistant',
                content: { type: 'text', text: answers.sampling },
                model: 'scripted',
                stopReason: 'endTurn'
            })
        ],
        roots: ['roots/list', () => ({ roots: answers.roots.map(uri => ({ uri })) })]
    };
    return Object.keys(answers).map(question => known[question]);
}

export async function run(connect) {
    const script = JSON.parse(process.argv[2]);
    const { client, protocolVersion, call, told } = await connect(script);
    const { tools } = await client.listTools();
    const make = wanted => outcome(client, call, wanted, told);
    const calls = script.parallel ? await Promise.all(script.calls.map(make)) : [];
    if (!script.parallel) for (const wanted of script.calls) calls.push(await make(wanted));
    const instructions = client.getInstructions();
    await client.close();
    console.log(JSON.stringify({ protocolVersion, instructions, tools: tools.map(tool => tool.name), calls }));
}
