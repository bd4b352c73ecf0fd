// mqtt5.js PORT or URL - MQTT.js as an MQTT 5 client: properties, aliases, expiry, QoS 2, the Will.
"use strict";
const mqtt = require("mqtt");
const assert = require("node:assert");
const where = process.argv[2];
const url = where.includes("://") ? where : `mqtt://127.0.0.1:${where}`;

const connect = (clientId, more = {}) => mqtt.connectAsync(url,
    { protocolVersion: 5, reconnectPeriod: 0, connectTimeout: 30000, clientId, ...more });
const next = (client) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no message in 30 s")), 30000);
    client.once("message", (topic, payload, packet) => {
        clearTimeout(timer);
        resolve({ topic, payload: payload.toString(), packet });
    });
});

async function propertiesArriveUnaltered() {
    const sub = await connect("js-sub"), pub = await connect("js-pub");
    const granted = await sub.subscribeAsync("js/props", { qos: 2, properties: { subscriptionIdentifier: 42 } });
    assert.equal(granted[0].qos, 2);
    const properties = { payloadFormatIndicator: true, messageExpiryInterval: 60, responseTopic: "js/reply",
        correlationData: Buffer.from([1, 2, 3]), contentType: "text/plain", userProperties: { a: ["1", "2"], b: "3" } };
    for (const qos of [0, 1, 2]) {
        const got = next(sub);
        await pub.publishAsync("js/props", `qos ${qos}`, { qos, properties });
        const { payload, packet } = await got;
        assert.equal(payload, `qos ${qos}`);
        assert.equal(packet.qos, qos);
        const p = packet.properties;
        assert.equal(p.subscriptionIdentifier, 42);
        assert.ok(p.messageExpiryInterval > 55 && p.messageExpiryInterval <= 60);
        assert.equal(p.responseTopic, "js/reply");
        assert.deepEqual(p.correlationData, properties.correlationData);
        assert.equal(p.contentType, "text/plain");
        assert.deepEqual({ ...p.userProperties }, properties.userProperties);
    }
    await sub.endAsync();
    await pub.endAsync();
}

async function requestAndResponse() {
    const server = await connect("js-server"), client = await connect("js-client");
    await server.subscribeAsync("js/request", { qos: 1 });
    server.on("message", (topic, payload, packet) => server.publish(packet.properties.responseTopic,
        payload.toString().toUpperCase(), { properties: { correlationData: packet.properties.correlationData } }));
    await client.subscribeAsync("js/answers/1");
    const got = next(client);
    await client.publishAsync("js/request", "hello", { qos: 1,
        properties: { responseTopic: "js/answers/1", correlationData: Buffer.from("id-7") } });
    const { payload, packet } = await got;
    assert.equal(payload, "HELLO");
    assert.equal(packet.properties.correlationData.toString(), "id-7");
    await server.endAsync();
    await client.endAsync();
}

async function sessionIsResumed() {
    const options = { clean: false, properties: { sessionExpiryInterval: 60 } };
    let sub = await connect("js-durable", options);
    await sub.subscribeAsync("js/durable", { qos: 1 });
    await sub.endAsync();
    const pub = await connect("js-pub2");
    await pub.publishAsync("js/durable", "while away", { qos: 1 });
    sub = mqtt.connect(url, { protocolVersion: 5, reconnectPeriod: 0, clientId: "js-durable", ...options });
    let present;
    sub.once("connect", (connack) => { present = connack.sessionPresent; });
    assert.equal((await next(sub)).payload, "while away");
    assert.equal(present, true);
    await sub.endAsync();
    await pub.endAsync();
}

async function topicAliasesWorkBothWays() {
    const sub = await connect("js-alias-sub", { properties: { topicAliasMaximum: 5 } });
    const pub = await connect("js-alias-pub", { autoAssignTopicAlias: true });
    await sub.subscribeAsync("js/alias/+", { qos: 1 });
    for (const i of [1, 2, 3, 4]) {
        const got = next(sub);
        await pub.publishAsync("js/alias/x", `${i}`, { qos: 1 });
        const { topic, payload } = await got;
        assert.equal(topic, "js/alias/x");
        assert.equal(payload, `${i}`);
    }
    await sub.endAsync();
    await pub.endAsync();
}

async function sharedSubscriptionSplitsTheWork() {
    const members = [await connect("js-a"), await connect("js-b")], pub = await connect("js-pub3");
    const counts = [0, 0];
    for (const [i, m] of members.entries()) {
        m.on("message", () => { counts[i] += 1; });
        await m.subscribeAsync("$share/js/js/work", { qos: 1 });
    }
    for (let i = 0; i < 20; i += 1) await pub.publishAsync("js/work", `${i}`, { qos: 1 });
    for (let i = 0; i < 1500 && counts[0] + counts[1] < 20; i += 1) await new Promise((r) => setTimeout(r, 20));
    assert.equal(counts[0] + counts[1], 20);
    assert.ok(counts[0] >= 5 && counts[1] >= 5, `split ${counts}`);
    for (const c of [...members, pub]) await c.endAsync();
}

async function willComesAfterItsDelay() {
    const sub = await connect("js-watch");
    await sub.subscribeAsync("js/will", { qos: 1 });
    const device = await connect("js-device", { properties: { sessionExpiryInterval: 60 },
        will: { topic: "js/will", payload: Buffer.from("gone"), qos: 1,
            properties: { willDelayInterval: 1, userProperties: { why: "lost" } } } });
    const start = Date.now(), got = next(sub);
    device.stream.destroy();
    const { payload, packet } = await got;
    assert.equal(payload, "gone");
    assert.equal(packet.properties.userProperties.why, "lost");
    assert.ok(Date.now() - start > 700, "the Will came before its delay");
    await sub.endAsync();
}

async function main() {
    let failed = 0;
    for (const scenario of [propertiesArriveUnaltered, requestAndResponse, sessionIsResumed, topicAliasesWorkBothWays,
        sharedSubscriptionSplitsTheWork, willComesAfterItsDelay]) {
        try {
            await scenario();
            console.log(`PASS ${scenario.name}`);
        } catch (e) {
            failed += 1;
            console.log(`FAIL ${scenario.name}: ${String(e && e.message || e).replace(/\n/g, " | ")}`);
        }
    }
    process.exit(failed ? 1 : 0);
}
main();
