// oidc-provider with one client for each way to authenticate, and an API that takes its tokens.
//
// Reads one line of JSON: the keys and certificates of the test that starts it. Lives as long as its standard input is open.
import { createHash, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import readline from 'node:readline';
import Provider, { errors } from 'oidc-provider';

const input = readline.createInterface({ input: process.stdin }).on('close', () => process.exit());
const { tls, keys, selfSigned } = await new Promise((resolve) => input.once('line', (line) => resolve(JSON.parse(line))));

let answer;
const servers = [
  http.createServer((request, response) => answer(request, response)),
  https.createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, (request, response) => answer(request, response)),
];
const ports = await Promise.all(servers.map((server) => new Promise((resolve) => {
  server.listen(0, '127.0.0.1', () => resolve(server.address().port));
})));
const issuer = `http://127.0.0.1:${ports[0]}`;
const withCertificates = `https://127.0.0.1:${ports[1]}`;

const client = (client_id, token_endpoint_auth_method, settings) => ({ client_id, token_endpoint_auth_method, ...settings });
const secretOf = (name) => `secret-of-${name}-with-at-least-32-bytes`;
const withSecret = (name, method, client_secret = secretOf(name)) => client(name, method, { client_secret });
const withKey = (name, alg, pem) => client(name, 'private_key_jwt', {
  token_endpoint_auth_signing_alg: alg, jwks: { keys: [{ ...createPublicKey(pem).export({ format: 'jwk' }), kid: name }] },
});
const withCertificate = (name, method, settings) => client(name, method, { tls_client_certificate_bound_access_tokens: true, ...settings });
const certificate = new X509Certificate(selfSigned);

const provider = new Provider(issuer, {
  clientDefaults: {
    grant_types: ['client_credentials'], response_types: [], redirect_uris: [], scope: 'read write', id_token_signed_response_alg: 'ES256',
  },
  clients: [
    withSecret('basic', 'client_secret_basic'),
    // All that RFC 6749 appendix B changes.
    withSecret('an:odd+id%20 &=', 'client_secret_basic', 's:e+c%20r &=/?#"\\~*\'()!@'),
    withSecret('post', 'client_secret_post', 's:e+c%20r &=/?#"\\~*\'()!@'),
    withSecret('secret-jwt', 'client_secret_jwt'),
    withSecret('short', 'client_secret_basic'),
    withSecret('api', 'client_secret_basic'),
    withKey('RS256', 'RS256', keys.rsa),
    withKey('PS256', 'PS256', keys.rsa),
    withKey('ES256', 'ES256', keys.p256),
    withKey('EdDSA', 'EdDSA', keys.ed25519),
    withCertificate('pki', 'tls_client_auth', { tls_client_auth_san_dns: 'client.example.com' }),
    withCertificate('bound', 'client_secret_basic', { client_secret: secretOf('bound') }),
    withCertificate('self-signed', 'self_signed_tls_client_auth', {
      jwks: { keys: [{ ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] }] },
    }),
  ],
  jwks: { keys: [{ ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
  scopes: ['read', 'write', 'admin'],
  responseTypes: ['code'],
  clientAuthMethods: [
    'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth',
  ],
  enabledJWA: { clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'EdDSA'] },
  ttl: { ClientCredentials: (ctx, token, { clientId }) => (clientId === 'short' ? 2 : 600) },
  discovery: { mtls_endpoint_aliases: { token_endpoint: `${withCertificates}/token` } },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (ctx, { clientId }) => clientId === 'api' },
    revocation: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: ({ req }) => presented(req),
      certificateAuthorized: ({ req }) => req.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_dns'
        && presented(ctx.req).subjectAltName.split(', ').includes(`DNS:${expected}`),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (ctx, resource) => {
        if (resource !== 'https://api.example.com/orders') throw new errors.InvalidTarget();
        return { scope: 'read write', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
      },
    },
  },
});
provider.on('server_error', (ctx, error) => console.error(error));

function presented({ socket }) {
  const { raw } = socket.getPeerCertificate?.() ?? {};
  return raw && new X509Certificate(raw);
}

async function api(request, response) {
  const [, value] = /^Bearer (.+)$/i.exec(request.headers.authorization) ?? [];
  const token = value && await provider.ClientCredentials.find(value);
  const bound = token?.['x5t#S256'];
  const thumbprint = () => createHash('sha256').update(presented(request)?.raw ?? '').digest('base64url');
  if (token?.isValid && (!bound || bound === thumbprint())) {
    response.end(JSON.stringify({ client_id: token.clientId, scope: token.scope }));
  } else {
    response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="api"${value ? ', error="invalid_token"' : ''}` }).end();
  }
}

const authorizationServer = provider.callback();
answer = (request, response) => (request.url === '/api' ? api : authorizationServer)(request, response);
console.log(`READY ${issuer} ${withCertificates}`);
