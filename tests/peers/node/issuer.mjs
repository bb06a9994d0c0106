// A real OpenID provider on a free port of loopback. Confidential clients get access tokens by the
// client-credentials grant; the `resource` they ask for becomes the audience of a JWT.
//
// Beside the standard paths, POST /rotate makes a new signing key, which the next tokens are signed
// with. The old one stays published, as it would at any provider.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const ADDRESS = '127.0.0.1';
const SCOPES = 'mcp admin';
let keys = [];
let handler;

function newKey() {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function provider(issuer) {
    return new Provider(issuer, {
        jwks: { keys },
        cookies: { keys: [randomUUID()] },
        clients: [
            {
                client_id: 'robot',
                client_secret: 'robot-secret',
                grant_types: ['client_credentials'],
                redirect_uris: [],
                response_types: []
            }
        ],
        scopes: SCOPES.split(' '),
        features: {
            devInteractions: { enabled: false },
            clientCredentials: { enabled: true },
            resourceIndicators: {
                enabled: true,
                getResourceServerInfo: (_ctx, resource) => ({
                    audience: resource,
                    scope: SCOPES,
                    accessTokenFormat: 'jwt',
                    accessTokenTTL: 300,
                    jwt: { sign: { alg: 'RS256' } }
                })
            }
        },
        extraTokenClaims: () => ({ groups: ['robots'] })
    }).callback();
}

const server = createServer((request, response) => {
    if (request.method !== 'POST' || request.url !== '/rotate') return handler(request, response);
    rotate();
    response.writeHead(204).end();
});

function rotate() {
    // The provider signs with the first key that fits.
    keys = [newKey(), ...keys];
    handler = provider(`http://${ADDRESS}:${server.address().port}`);
}

server.listen(0, ADDRESS, () => {
    rotate();
    console.log(JSON.stringify({ port: server.address().port }));
});

// The test that started this process holds the other end: it ends with the test, however that ends.
process.stdin.on('end', () => process.exit(0)).resume();
