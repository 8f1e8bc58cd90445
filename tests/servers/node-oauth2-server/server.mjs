// node-oauth2-server, which is a model and two functions: a token endpoint, and an API that takes its tokens. Lives as long as its standard input is open.
import http from 'node:http';
import OAuth2Server from '@node-oauth/oauth2-server';

process.stdin.on('close', () => process.exit()).resume();

const client = (id, secret, settings) => ({ id, secret, grants: ['client_credentials'], ...settings });
const clients = [
  client('basic', 'a-secret'),
  client('an odd+id%20&=', 's:e+c%20r &=/?#'),
  client('short', 'a-secret', { accessTokenLifetime: 2 }),
  client('without-end', 'a-secret'),
];
const tokens = new Map();

const server = new OAuth2Server({
  model: {
    getClient: (id, secret) => clients.find((client) => client.id === id && client.secret === secret),
    getUserFromClient: ({ id }) => ({ id }),
    validateScope: (user, client, scope = ['read']) => scope.every((name) => ['read', 'write'].includes(name)) && scope,
    saveToken: ({ accessTokenExpiresAt, ...token }, client, user) => {
      const saved = { ...token, client, user };
      if (client.id !== 'without-end') Object.assign(saved, { accessTokenExpiresAt });
      tokens.set(token.accessToken, saved);
      return saved;
    },
    getAccessToken: (value) => {
      const token = tokens.get(value);
      return token && { accessTokenExpiresAt: new Date(Date.now() + 600_000), ...token };
    },
  },
});

const listener = http.createServer(async (incoming, outgoing) => {
  let form = '';
  for await (const chunk of incoming) form += chunk;
  const body = Object.fromEntries(new URLSearchParams(form));
  const request = new OAuth2Server.Request({ method: incoming.method, headers: incoming.headers, query: {}, body });
  const response = new OAuth2Server.Response();
  try {
    switch (incoming.url) {
      case '/token':
        await server.token(request, response);
        break;
      case '/revoke':
        tokens.delete(body.token);
        break;
      default: {
        const { client, scope } = await server.authenticate(request, response);
        response.body = { client_id: client.id, scope: scope.join(' ') };
      }
    }
  } catch (error) {
    response.status = error.code;
    response.body = { error: error.name, error_description: error.message };
  }
  outgoing.writeHead(response.status, { ...response.headers, 'content-type': 'application/json' });
  outgoing.end(JSON.stringify(response.body));
});
listener.listen(0, '127.0.0.1', () => console.log(`READY http://127.0.0.1:${listener.address().port}`));
