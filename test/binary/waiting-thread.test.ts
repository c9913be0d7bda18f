// The waiting thread inside a compiled program: found, started and ended wherever the program is run.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUILD, COMPILE } from "../../scripts/build-options.ts";
import { asUid, canBeNobody, createRoom, NOBODY } from "../support/daemon.ts";

const SOURCE = join(import.meta.dir, "../../src");

// Stands where main.ts does, so that both entries get the places that they have in dist/observer.
const PROGRAM = `
import { createEventfd, signalEventfd } from "./kernel/eventfd.ts";
import { EPOLL, startWatcher } from "./kernel/watcher.ts";

const errors = [];
const watcher = await startWatcher({ onError: (message) => errors.push(message) });
const fd = createEventfd();
const woken = Promise.withResolvers();
watcher.watch(fd, { events: EPOLL.IN, onWake: woken.resolve });
signalEventfd(fd);
const { events } = await woken.promise;
await watcher.stop();
console.log(JSON.stringify({ main: Bun.main, events, state: watcher.state(), errors }));
`;

const room = createRoom();
const program = join(room.path, "program");
beforeAll(async () => {
  const main = join(SOURCE, "compiled-test-program.ts");
  const result = await Bun.build({
    ...BUILD,
    entrypoints: [main, join(SOURCE, "kernel/watch.worker.ts")],
    files: { [main]: PROGRAM },
    compile: { ...COMPILE, outfile: program },
  });
  expect(result.success).toBe(true);
});
afterAll(() => room[Symbol.dispose]());

const users = [
  { name: "this user", command: (program: string) => [program], skip: false },
  {
    name: "nobody",
    command: (program: string) => asUid(NOBODY, [program]),
    skip: !canBeNobody(),
  },
];
for (const { name, command, skip } of users) {
  test.skipIf(skip)(`wakes as ${name}, with other files of its name where it is started`, () => {
    const cwd = join(room.path, `cwd-${name}`);
    mkdirSync(join(cwd, "kernel"), { recursive: true });
    for (const file of ["watch.worker.ts", "watch.worker.js", "kernel/watch.worker.js"]) {
      writeFileSync(join(cwd, file), "throw new Error('not this one');");
    }
    const ran = Bun.spawnSync(command(program), { cwd, env: {} });
    expect(ran.stderr.toString()).toBe("");
    expect(JSON.parse(ran.stdout.toString())).toEqual({
      main: "/$bunfs/root/program",
      events: 1,
      state: "stopped",
      errors: [],
    });
  });
}
