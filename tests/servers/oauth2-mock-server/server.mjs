// oauth2-mock-server, whose responses change for some clients, and an API that takes its tokens. Lives as long as its standard input is open.
import http from 'node:http';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { OAuth2Issuer, OAuth2Service } from 'oauth2-mock-server';

process.stdin.on('close', () => process.exit()).resume();

const issuer = new OAuth2Issuer();
await issuer.keys.generate('ES256');
const service = new OAuth2Service(issuer);
const keys = createLocalJWKSet({ keys: issuer.keys.toJSON() });

const isShort = ({ client_id }) => client_id?.startsWith('short');
service.on('beforeTokenSigning', ({ payload }, { body }) => {
  payload.client_id = body.client_id;
  if (isShort(body)) payload.exp = payload.iat + 2;
});
let faults = 2;
service.on('beforeResponse', (response, { body }) => {
  switch (body.client_id) {
    case 'short':
      response.body.expires_in = 2;
      break;
    case 'short-by-exp':
      delete response.body.expires_in;
      break;
    case 'unknown':
      response.statusCode = 401;
      response.body = { error: 'invalid_client' };
      break;
    case 'faults':
      if (faults-- > 0) Object.assign(response, { statusCode: 503, body: '' });
  }
});

async function api({ headers }, response) {
  try {
    const { payload } = await jwtVerify(headers.authorization.replace(/^Bearer /i, ''), keys, { issuer: issuer.url });
    response.end(JSON.stringify(payload));
  } catch {
    response.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end();
  }
}

const listener = http.createServer((request, response) => (request.url === '/api' ? api : service.requestHandler)(request, response));
listener.listen(0, '127.0.0.1', () => {
  issuer.url = `http://127.0.0.1:${listener.address().port}`;
  console.log(`READY ${issuer.url}`);
});
