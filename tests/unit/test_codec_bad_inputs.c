// test_codec_bad_inputs.c - packets that broke brokers, and the error each must be answered with.
//
// The first column names the case. OK: the bytes are well formed, and the session or the
// subscriptions refuse them.
#include "tests/unit/test_codec.h"

// clang-format off
// Fixed headers, first packets, packets that only a server sends.
static const struct decode_case framing_cases[] = {
    {"A01 remaining length of 5 bytes", MQTT_311, "10ffffffff01", ERR_MALFORMED},
    {"A02 reserved packet type 0", MQTT_311, "0000", ERR_NOT_FOUND},
    {"A03 type 15 first", MQTT_311, "f000", ERR_PROTOCOL},
    {"A04 PINGREQ first", MQTT_311, "c000", OK},
    {"A05 PUBLISH first", MQTT_311, "300400017478", OK},
    {"A06 DISCONNECT first", MQTT_311, "e000", OK},
    {"A07 PUBLISH first that announces 268,435,455 bytes", MQTT_311,
        "30ffffff7f", ERR_PACKET_TOO_LARGE},
    {"A08 SUBSCRIBE first that announces 268,435,455 bytes", MQTT_311,
        "80ffffff7f", ERR_PACKET_TOO_LARGE},
    {"A09 CONNECT with header flags 1", MQTT_311,
        "110f00044d5154540402003c0003626164", ERR_MALFORMED},
    {"A10 CONNECT with header flags 8", MQTT_311,
        "180f00044d5154540402003c0003626164", ERR_MALFORMED},
    {"A11 HTTP request on the MQTT port", MQTT_311,
        "474554202f20485454502f312e310d0a486f73743a20780d0a0d0a", ERR_NEED_MORE},
    {"A13 PROXY v1 line where none is expected", MQTT_311,
        "50524f5859205443503420312e322e332e3420352e362e372e38203120320d0a100f00044d515454"
        "0402003c0003626164", ERR_NEED_MORE},
    {"A14 PROXY v2 header where none is expected", MQTT_311,
        "0d0a0d0a000d0a515549540a2111000c01020304050607080001000200100f00044d515454040200"
        "3c0003626164", ERR_NOT_FOUND},
    {"A16 non-minimal remaining length", MQTT_5, "c08000", ERR_MALFORMED},
    {"A17 PINGREQ with flags", MQTT_311, "c100", ERR_MALFORMED},
    {"A18 PINGREQ with a body", MQTT_311, "c00100", ERR_MALFORMED},
    {"A19 DISCONNECT with flags", MQTT_311, "e100", ERR_MALFORMED},
    {"A20 CONNACK from a client", MQTT_311, "20020000", ERR_NOT_FOUND},
    {"A21 SUBACK from a client", MQTT_311, "9003000100", ERR_NOT_FOUND},
    {"A22 UNSUBACK from a client", MQTT_311, "b0020001", ERR_NOT_FOUND},
    {"A23 PINGRESP from a client", MQTT_311, "d000", ERR_NOT_FOUND},
    {"A24 AUTH on a 3.1.1 connection", MQTT_311, "f000", ERR_PROTOCOL},
    {"A25 PUBACK of length 0", MQTT_311, "4000", ERR_MALFORMED},
    {"A26 PUBREL of length 1", MQTT_311, "620100", ERR_MALFORMED},
    {"A27 PUBREL with flags 0", MQTT_311, "60020001", ERR_MALFORMED},
    {"A28 PUBLISH of length 0", MQTT_311, "3000", ERR_MALFORMED},
    {"A29 SUBSCRIBE of length 0", MQTT_311, "8200", ERR_MALFORMED},
    {"A30 UNSUBSCRIBE of length 0", MQTT_311, "a200", ERR_MALFORMED},
};

// CONNECT.
static const struct decode_case connect_cases[] = {
    {"B01 protocol name MQTX", MQTT_311, "100f00044d5154580402003c0003626164", ERR_MALFORMED},
    {"B02 protocol name of length 0", MQTT_311, "100b00000402003c0003626164", ERR_MALFORMED},
    {"B03 protocol name longer than the packet", MQTT_311, "1008ffff4d5154540402", ERR_MALFORMED},
    {"B04 level 6", MQTT_311, "100f00044d5154540602003c0003626164", ERR_PROTOCOL_VERSION},
    {"B05 level 0", MQTT_311, "100f00044d5154540002003c0003626164", ERR_PROTOCOL_VERSION},
    {"B06 level 0x84 (bridge bit of mosquitto) from a client", MQTT_311,
        "100f00044d5154548402003c0003626164", ERR_PROTOCOL_VERSION},
    {"B07 reserved connect flag set", MQTT_311,
        "100f00044d5154540403003c0003626164", ERR_MALFORMED},
    {"B08 Will QoS without Will flag", MQTT_311,
        "100f00044d515454040a003c0003626164", ERR_MALFORMED},
    {"B09 Will retain without Will flag", MQTT_311,
        "100f00044d5154540422003c0003626164", ERR_MALFORMED},
    {"B10 Will QoS 3", MQTT_311, "101500044d515454041e003c000362616400017700016d", ERR_MALFORMED},
    {"B11 password without user name (3.1.1)", MQTT_311,
        "101300044d5154540442003c000362616400027077", ERR_MALFORMED},
    {"B12 user name flag but no user name", MQTT_311,
        "100f00044d5154540482003c0003626164", ERR_MALFORMED},
    {"B13 Will flag but no Will", MQTT_311, "100f00044d5154540406003c0003626164", ERR_MALFORMED},
    {"B14 bytes after the payload", MQTT_311,
        "101200044d5154540402003c00036261647a7a7a", ERR_MALFORMED},
    {"B15 client id holds U+0000", MQTT_311, "100f00044d5154540402003c0003610062", ERR_MALFORMED},
    {"B16 client id not UTF-8 (ff)", MQTT_311, "100e00044d5154540402003c000261ff", ERR_MALFORMED},
    {"B17 client id overlong NUL (c080)", MQTT_311,
        "100f00044d5154540402003c000361c080", ERR_MALFORMED},
    {"B18 client id a surrogate (eda080)", MQTT_311,
        "101000044d5154540402003c000461eda080", ERR_MALFORMED},
    {"B19 empty client id, clean 0 (3.1.1)", MQTT_311,
        "100c00044d5154540400003c0000", ERR_CLIENT_ID},
    {"B20 user name not UTF-8", MQTT_311,
        "101600044d51545404c2003c00036261640002fefe000178", ERR_MALFORMED},
    {"B21 Will topic with #", MQTT_311,
        "101700044d5154540406003c00036261640003612f2300016d", ERR_TOPIC_NAME_INVALID},
    {"B22 Will topic empty", MQTT_311,
        "101400044d5154540406003c0003626164000000016d", ERR_TOPIC_NAME_INVALID},
    {"B23 Will topic with U+0000", MQTT_311,
        "101600044d5154540406003c00036261640002610000016d", ERR_MALFORMED},
    {"B24 will topic with +", MQTT_5,
        "101900044d5154540506003c000003626164000003612f2b00016d", ERR_TOPIC_NAME_INVALID},
    {"B25 property length runs past the packet", MQTT_5,
        "101200044d5154540502003c7f61626364656667", ERR_MALFORMED},
    {"B26 unknown property 0x7f", MQTT_5,
        "101200044d5154540502003c027f000003626164", ERR_MALFORMED},
    {"B27 property of another packet (Topic Alias)", MQTT_5,
        "101300044d5154540502003c032300010003626164", ERR_PROTOCOL},
    {"B28 Session Expiry twice", MQTT_5,
        "101a00044d5154540502003c0a110000000111000000010003626164", ERR_PROTOCOL},
    {"B29 Receive Maximum 0", MQTT_5, "101300044d5154540502003c032100000003626164", ERR_PROTOCOL},
    {"B30 Receive Maximum twice", MQTT_5,
        "101600044d5154540502003c062100052100050003626164", ERR_PROTOCOL},
    {"B31 Maximum Packet Size 0", MQTT_5,
        "101500044d5154540502003c0527000000000003626164", ERR_PROTOCOL},
    {"B32 Request Problem Information 2", MQTT_5,
        "101200044d5154540502003c0217020003626164", ERR_PROTOCOL},
    {"B33 Request Response Information 2", MQTT_5,
        "101200044d5154540502003c0219020003626164", ERR_PROTOCOL},
    {"B34 Authentication Data without Method", MQTT_5,
        "101400044d5154540502003c04160001780003626164", ERR_PROTOCOL},
    {"B35 User Property with bad UTF-8", MQTT_5,
        "101700044d5154540502003c07260001ff0001610003626164", ERR_MALFORMED},
    {"B36 property cut short", MQTT_5, "101200044d5154540502003c0211000003626164", ERR_MALFORMED},
    {"B37 unknown Authentication Method", MQTT_5,
        "101700044d5154540502003c071500044e4f50450003626164", OK},
    {"B38 Will with a property that no Will may have (Server Keep Alive)", MQTT_5,
        "101a00044d5154540506003c0000036261640313000500017700016d", ERR_PROTOCOL},
    {"B39 Will with Response Topic that has a wildcard", MQTT_5,
        "101d00044d5154540506003c00000362616406080003612f2300017700016d", ERR_PROTOCOL},
    {"B40 Will Payload Format 2", MQTT_5,
        "101900044d5154540506003c0000036261640201020001770001ff", ERR_PROTOCOL},
    {"B41 second CONNECT", MQTT_311, "101100044d5154540402003c0005616761696e", OK},
    {"B42 second CONNECT", MQTT_5, "101200044d5154540502003c000005616761696e", OK},
};

// PUBLISH.
static const struct decode_case publish_cases[] = {
    {"C01 topic empty", MQTT_311, "3003000078", ERR_PROTOCOL},
    {"C02 topic with #", MQTT_311, "30060003612f2378", ERR_TOPIC_NAME_INVALID},
    {"C03 topic with +", MQTT_311, "320a0005612f2b2f62000178", ERR_TOPIC_NAME_INVALID},
    {"C04 topic with U+0000", MQTT_311, "3006000361006278", ERR_MALFORMED},
    {"C05 topic not UTF-8", MQTT_311, "30070004612fc32878", ERR_MALFORMED},
    {"C06 topic a surrogate pair", MQTT_311, "30090006eda0bdedb88078", ERR_MALFORMED},
    {"C07 topic code point above U+10FFFF", MQTT_311, "30070004f490808078", ERR_MALFORMED},
    {"C08 topic length runs past the packet", MQTT_311, "3005ffff616263", ERR_MALFORMED},
    {"C09 QoS 3", MQTT_311, "3606000174000178", ERR_MALFORMED},
    {"C10 DUP with QoS 0", MQTT_311, "380400017478", ERR_MALFORMED},
    {"C11 packet identifier 0", MQTT_311, "3206000174000078", ERR_PROTOCOL},
    {"C12 QoS 1, packet ends after the topic", MQTT_311, "3203000174", ERR_MALFORMED},
    {"C13 QoS 2, one byte of packet identifier", MQTT_311, "340400017400", ERR_MALFORMED},
    {"C14 property length past the packet", MQTT_5, "30050001747f01", ERR_MALFORMED},
    {"C15 property length of 5 bytes", MQTT_5, "3008000174ffffffff01", ERR_MALFORMED},
    {"C16 no property length at all", MQTT_5, "3003000174", ERR_MALFORMED},
    {"C17 Payload Format 2", MQTT_5, "300700017402010278", ERR_PROTOCOL},
    {"C18 Message Expiry twice", MQTT_5, "300f0001740a0200000001020000000178", ERR_PROTOCOL},
    {"C19 Topic Alias 0", MQTT_5, "30080001740323000078", ERR_TOPIC_ALIAS_INVALID},
    {"C20 Topic Alias twice", MQTT_5, "300b0001740623000123000178", ERR_PROTOCOL},
    {"C21 Subscription Identifier from a client", MQTT_5, "3007000174020b0178", ERR_PROTOCOL},
    {"C22 Response Topic with wildcard", MQTT_5, "300b00017406080003722f2378", ERR_PROTOCOL},
    {"C23 Response Topic not UTF-8", MQTT_5, "300900017404080001ff78", ERR_MALFORMED},
    {"C24 Content Type with U+0000", MQTT_5, "300a00017405030002610078", ERR_MALFORMED},
    {"C25 Correlation Data past the packet", MQTT_5, "30090001740409ffff7878", ERR_MALFORMED},
    {"C26 property of CONNECT (Receive Maximum)", MQTT_5, "30080001740321000578", ERR_PROTOCOL},
    {"C27 unknown property", MQTT_5, "3006000174017e78", ERR_MALFORMED},
    {"C28 empty topic, no alias", MQTT_5, "300400000078", ERR_PROTOCOL},
    {"C29 empty topic, alias never set", MQTT_5, "300700000323000178", OK},
};

// SUBSCRIBE and UNSUBSCRIBE. Filters with misplaced wildcards decode: SUBACK answers them.
static const struct decode_case subscribe_cases[] = {
    {"D01 header flags 0", MQTT_311, "8006000100016100", ERR_MALFORMED},
    {"D02 packet identifier 0", MQTT_311, "8206000000016100", ERR_PROTOCOL},
    {"D03 no filters", MQTT_311, "82020001", ERR_PROTOCOL},
    {"D04 QoS 3", MQTT_311, "8206000100016103", ERR_MALFORMED},
    {"D05 reserved option bits (3.1.1)", MQTT_311, "8206000100016180", ERR_MALFORMED},
    {"D06 reserved option bits", MQTT_5, "8207000100000161c0", ERR_MALFORMED},
    {"D07 Retain Handling 3", MQTT_5, "820700010000016130", ERR_PROTOCOL},
    {"D08 No Local on a shared subscription", MQTT_5,
        "8210000100000a2473686172652f672f6104", ERR_PROTOCOL},
    {"D09 Subscription Identifier 0", MQTT_5, "82090001020b0000016100", ERR_PROTOCOL},
    {"D10 Subscription Identifier twice", MQTT_5, "820b0001040b010b0200016100", ERR_PROTOCOL},
    {"D11 Subscription Identifier of 5 bytes", MQTT_5,
        "820d0001060bffffffff0100016100", ERR_MALFORMED},
    {"D12 filter length past the packet", MQTT_311, "82050001ffff61", ERR_MALFORMED},
    {"D13 filter without option byte", MQTT_311, "82050001000161", ERR_MALFORMED},
    {"D14 filter with U+0000", MQTT_311, "820700010002610000", ERR_MALFORMED},
    {"D15 filter not UTF-8", MQTT_311, "820800010003ff2f6100", ERR_MALFORMED},
    {"D16 filter ", MQTT_311, "82050001000000", OK},
    {"D17 filter a/#/b", MQTT_311, "820a00010005612f232f6200", OK},
    {"D18 filter a#", MQTT_311, "820700010002612300", OK},
    {"D19 filter #a", MQTT_311, "820700010002236100", OK},
    {"D20 filter a/b#", MQTT_311, "820900010004612f622300", OK},
    {"D21 filter +a", MQTT_311, "8207000100022b6100", OK},
    {"D22 filter a/+b", MQTT_311, "820900010004612f2b6200", OK},
    {"D23 filter a+/b", MQTT_311, "820900010004612b2f6200", OK},
    {"D24 filter ##", MQTT_311, "820700010002232300", OK},
    {"D25 filter #/", MQTT_311, "820700010002232f00", OK},
    {"D26 filter /#/", MQTT_311, "8208000100032f232f00", OK},
    {"D27 filter ++", MQTT_311, "8207000100022b2b00", OK},
    {"D28 shared filter $share/+", MQTT_5, "820e00010000082473686172652f2b00", OK},
    {"D29 shared filter $share/", MQTT_5, "820d00010000072473686172652f00", OK},
    {"D30 shared filter $share/g", MQTT_5, "820e00010000082473686172652f6700", OK},
    {"D31 shared filter $share/g/", MQTT_5, "820f00010000092473686172652f672f00", OK},
    {"D32 shared filter $share//a", MQTT_5, "820f00010000092473686172652f2f6100", OK},
    {"D33 shared filter $share/g+/a", MQTT_5, "8211000100000b2473686172652f672b2f6100", OK},
    {"D34 shared filter $share/#/a", MQTT_5, "8210000100000a2473686172652f232f6100", OK},
    {"D35 shared filter $share/g/a#", MQTT_5, "8211000100000b2473686172652f672f612300", OK},
    {"D36 UNSUBSCRIBE with no filters", MQTT_311, "a2020001", ERR_PROTOCOL},
    {"D37 UNSUBSCRIBE with flags 0", MQTT_311, "a0050001000161", ERR_MALFORMED},
    {"D38 UNSUBSCRIBE packet identifier 0", MQTT_311, "a2050000000161", ERR_PROTOCOL},
    {"D39 UNSUBSCRIBE of a bad filter", MQTT_311, "a20900010005612f232f62", OK},
};

// Acknowledgements, DISCONNECT, AUTH. What needs the session's state decodes.
static const struct decode_case acknowledgement_cases[] = {
    {"E01 PUBACK for a packet identifier that is not in use", MQTT_311, "40020309", OK},
    {"E02 PUBREC for a packet identifier that is not in use", MQTT_311, "50020309", OK},
    {"E03 PUBREL for a packet identifier that is not in use", MQTT_311, "62020309", OK},
    {"E04 PUBCOMP for a packet identifier that is not in use", MQTT_311, "70020309", OK},
    {"E11 PUBACK with reason 0x7f", MQTT_5, "400300017f", ERR_MALFORMED},
    {"E12 DISCONNECT raises Session Expiry from 0", MQTT_5, "e00700051100000005", OK},
    {"E13 AUTH without enhanced authentication", MQTT_5, "f000", ERR_PROTOCOL},
    {"E14 Re-authenticate (0x19) on a connection without a method", MQTT_5, "f006190415000158", OK},
};

// clang-format on

Test(codec_bad_inputs, framing)
{
    check_cases(framing_cases, ARRAY_LEN(framing_cases));
}

Test(codec_bad_inputs, connect)
{
    check_cases(connect_cases, ARRAY_LEN(connect_cases));
}

Test(codec_bad_inputs, publish)
{
    check_cases(publish_cases, ARRAY_LEN(publish_cases));
}

Test(codec_bad_inputs, subscribe)
{
    check_cases(subscribe_cases, ARRAY_LEN(subscribe_cases));
}

Test(codec_bad_inputs, acknowledgement)
{
    check_cases(acknowledgement_cases, ARRAY_LEN(acknowledgement_cases));
}
