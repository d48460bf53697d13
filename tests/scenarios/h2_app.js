// An app server that speaks HTTP/2: node h2_app.js PORT [CERTIFICATE KEY [both]]; without a certificate in clear.
// With "both" it speaks HTTP/1.1 as well, and wants it for POST.
'use strict';
const fs = require('fs');
const http2 = require('http2');

const [port, certificate, key, both] = process.argv.slice(2);
// Each session ends after so many requests, with a GOAWAY, as nginx' do after its keepalive_requests.
const REQUESTS = 100;
const settings = {enableConnectProtocol: true};
const server = certificate
  ? http2.createSecureServer(
      {cert: fs.readFileSync(certificate), key: fs.readFileSync(key), settings, allowHTTP1: Boolean(both)})
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
  if (both && fields[':method'] === 'POST') {
    stream.close(http2.constants.NGHTTP2_HTTP_1_1_REQUIRED);
    return;
  }
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
if (both) {
  server.on('request', (request, response) => {
    if (request.httpVersionMajor === 1) request.pipe(response);
  });
}
server.listen(Number(port), '127.0.0.1');
