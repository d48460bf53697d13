// An app server that speaks HTTP/2: node h2_app.js PORT [CERTIFICATE KEY]; without a certificate in clear.
'use strict';
const fs = require('fs');
const http2 = require('http2');

const [port, certificate, key] = process.argv.slice(2);
// Each session ends after so many requests, with a GOAWAY, as nginx' do after its keepalive_requests.
const REQUESTS = 100;
const settings = {enableConnectProtocol: true};
const server = certificate
  ? http2.createSecureServer({cert: fs.readFileSync(certificate), key: fs.readFileSync(key), settings})
  : http2.createServer({settings});
let sessions = 0;
let aborted = 0;

server.on('session', session => {
  sessions++;
  session.requests = 0;
});
server.on('stream', (stream, fields) => {
  const session = stream.session;
  stream.on('error', () => {});
  stream.on('close', () => { if (stream.rstCode) aborted++; });
  const path = fields[':path'].split('?')[0];
  if (path === '/counts') {
    stream.respond({':status': 200});
    stream.end(JSON.stringify({sessions, aborted}));
  } else if (fields[':method'] === 'CONNECT') {
    // One WebSocket frame that says hello; whatever comes then is answered by a Close of code 1000.
    stream.respond({':status': 200});
    stream.write(Buffer.from([0x81, 5, ...Buffer.from('hello')]));
    stream.once('data', () => stream.end(Buffer.from([0x88, 2, 3, 232])));
  } else if (path === '/echo') {
    stream.respond({':status': 200}, {waitForTrailers: true});
    stream.on('wantTrailers', () => stream.sendTrailers({'x-trailer': 'done'}));
    stream.pipe(stream);
  } else if (path === '/hang') {
    stream.respond({':status': 200});
    stream.write('here');
  } else {
    stream.additionalHeaders({':status': 103, link: '</style.css>; rel=preload'});
    stream.respond({':status': 200});
    stream.end('hello');
  }
  if (++session.requests === REQUESTS && !session.closed) session.close();
});
server.listen(Number(port), '127.0.0.1');
