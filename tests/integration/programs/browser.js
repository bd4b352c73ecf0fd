// browser.js PROGRAM SPKI... - drives Chromium: a line of JSON in, a call of one of the page's functions; a line out.
//
// SPKI: base64 SHA-256 of the public keys whose certificates are taken although nobody vouches for them.
"use strict";
const readline = require("node:readline");
const { chromium } = require("playwright-core");

async function main() {
    const [executablePath, ...keys] = process.argv.slice(2);
    const browser = await chromium.launch({ executablePath, headless: true,
        args: ["--no-proxy-server", `--ignore-certificate-errors-spki-list=${keys.join(",")}`] });
    console.log(JSON.stringify({ ready: browser.version() }));
    const pages = new Map();
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const { page, call, args } = JSON.parse(line);
        try {
            if (!pages.has(page)) {
                pages.set(page, await browser.newPage());
                await pages.get(page).goto(page);
            }
            const result = await pages.get(page).evaluate(([name, values]) => eval(name)(...values), [call, args]);
            console.log(JSON.stringify({ result: result === undefined ? null : result }));
        } catch (e) {
            console.log(JSON.stringify({ error: String(e.message || e).split("\n")[0] }));
        }
    }
    await browser.close();
}
main().catch((e) => { console.log(JSON.stringify({ error: String(e) })); process.exit(1); });
