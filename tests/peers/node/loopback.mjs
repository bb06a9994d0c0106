// Loaded before a server that would listen on a fixed port of every interface: puts it on a free
// port of loopback instead and prints that port as the one JSON line a peer server prints.
import { Server } from 'node:http';

const listen = Server.prototype.listen;
Server.prototype.listen = function (_port, ...rest) {
    this.once('listening', () => console.log(JSON.stringify({ port: this.address().port })));
    return listen.call(this, 0, '127.0.0.1', ...rest.filter(each => typeof each === 'function'));
};

// The test that started this process holds the other end: it ends with the test, however that ends.
process.stdin.on('end', () => process.exit(0)).resume();
