// oidc-provider with everything strict: PKCE for every client, rotation on every refresh, no tolerance for late tokens.
// node provider.mjs <folder of node_modules> <port> <issuer> <client as JSON>
import { pathToFileURL } from 'node:url';

const [folder, port, issuer, client] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${folder}/node_modules/oidc-provider/lib/index.js`).href);

const provider = new Provider(issuer, {
  clients: [JSON.parse(client)],
  clockTolerance: 0,
  cookies: { keys: ['only for tests'] },
  features: {
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, AuthorizationCode: 60, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400, Session: 86400 },
});

// Ends one access token early, as no standard call does: the grant and its refresh token live on.
provider.use(async (ctx, next) => {
  if (ctx.path !== '/end') return next();
  const token = await provider.AccessToken.find(ctx.query.token);
  await token.destroy();
  ctx.body = 'ended';
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
