// oauth2orize, with passport in front as its documentation has it, and an API that takes its tokens. Lives as long as its standard input is open.
import { randomUUID } from 'node:crypto';
import express from 'express';
import oauth2orize from 'oauth2orize';
import passport from 'passport';
import { BasicStrategy } from 'passport-http';
import { Strategy as BearerStrategy } from 'passport-http-bearer';
import { Strategy as ClientPasswordStrategy } from 'passport-oauth2-client-password';

process.stdin.on('close', () => process.exit()).resume();

const secrets = new Map(Object.entries({
  'an odd+id%20&=': 's e+c%20r &=/?#',
  'basic': 'a-secret',
  'colon': 'a:secret',
  'short': 'a-secret',
  'by-default': 'a-secret',
  'not-granted': 'a-secret',
  'faults': 'a-secret',
}));
const tokens = new Map();
let faults = 2;

const verify = (id, secret, done) => done(null, secrets.get(id) === secret && { id });
passport.use(new BasicStrategy(verify));
passport.use(new ClientPasswordStrategy(verify));
passport.use(new BearerStrategy((value, done) => {
  const token = tokens.get(value);
  done(null, token?.ends > Date.now() && token);
}));

const server = oauth2orize.createServer();
server.exchange(oauth2orize.exchange.clientCredentials((client, asked, done) => {
  const scope = asked ?? ['read'];
  if (client.id === 'not-granted') return done(null, false);
  if (client.id === 'faults' && faults-- > 0) return done(new Error('out of order'));
  const unknown = scope.find((name) => !['read', 'write'].includes(name));
  if (unknown) return done(new oauth2orize.TokenError(`no scope ${unknown}`, 'invalid_scope'));
  const value = randomUUID();
  const lifetime = client.id === 'short' ? 2 : 600;
  const token = { client_id: client.id, scope: scope.join(' '), ends: Date.now() + lifetime * 1000 };
  tokens.set(value, token);
  // Without the last argument there is a token in the response, and its type.
  if (client.id === 'by-default') done(null, value);
  else done(null, value, { expires_in: lifetime, scope: token.scope });
}));

const app = express();
app.use(express.urlencoded());
app.post('/token', passport.authenticate(['basic', 'oauth2-client-password'], { session: false }), server.token(), server.errorHandler());
app.post('/revoke', passport.authenticate('basic', { session: false }), ({ body }, response) => {
  tokens.delete(body.token);
  response.end();
});
app.get('/api', passport.authenticate('bearer', { session: false }), ({ user }, response) => response.json(user));
const listener = app.listen(0, '127.0.0.1', () => console.log(`READY http://127.0.0.1:${listener.address().port}`));
