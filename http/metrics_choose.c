// metrics_choose.c - which of the formats does an Accept header ask for? [RFC 9110 section 12.5.1]
#include <strings.h>

#include "http/metrics.h"

// What one element of the list says.
struct offer {
    struct slice type, version; // version.data NULL: any
    uint32_t weight;            // thousandths
};

static bool
is_word(struct slice text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct slice
trim(struct slice text)
{
    while (text.len > 0 && is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

// Cuts off what is before the next separator outside of quotes. False: nothing is left.
static bool
next_part(struct slice *text, char separator, struct slice *ret_part)
{
    if (text->len == 0)
        return false;
    bool quoted = false;
    uint32_t at = 0;
    for (; at < text->len && (quoted || text->data[at] != (uint8_t)separator); at++) {
        if (text->data[at] == '"')
            quoted = !quoted;
        else if (quoted && text->data[at] == '\\' && at + 1 < text->len)
            at++;
    }
    *ret_part = trim((struct slice){text->data, at});
    uint32_t used = min_u32(at + 1, text->len);
    *text = (struct slice){text->data + used, text->len - used};
    return true;
}

// "0.75" -> 750. What is no weight counts as 0: not wanted.
static uint32_t
weight_of(struct slice text)
{
    if (text.len == 0 || text.len > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.len > 1 && text.data[1] != '.'))
        return 0;
    uint32_t weight = (text.data[0] - (uint32_t)'0') * 1000, unit = 100;
    for (uint32_t i = 2; i < text.len; i++, unit /= 10) {
        uint32_t digit = text.data[i] - (uint32_t)'0';
        if (digit > 9)
            return 0;
        weight += digit * unit;
    }
    return weight <= 1000 ? weight : 0;
}

static void
take_parameter(struct offer *offer, struct slice text)
{
    struct slice name, value = text;
    if (!next_part(&value, '=', &name))
        return;
    value = trim(value);
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
        value = (struct slice){value.data + 1, value.len - 2};
    if (is_word(name, "q"))
        offer->weight = weight_of(value);
    else if (is_word(name, "version"))
        offer->version = value;
}

static struct offer
offer_of(struct slice element)
{
    struct offer offer = {.weight = 1000};
    struct slice parameter;
    (void)next_part(&element, ';', &offer.type);
    while (next_part(&element, ';', &parameter))
        take_parameter(&offer, parameter);
    return offer;
}

enum metrics_format
metrics_choose(const char *accept)
{
    struct slice list = slice_str(accept ? accept : ""), element;
    uint32_t open = 0, text = 0;
    while (next_part(&list, ',', &element)) {
        struct offer offer = offer_of(element);
        must(offer.weight <= 1000);
        bool any = offer.version.data == NULL;
        if (is_word(offer.type, "application/openmetrics-text") &&
            (any || is_word(offer.version, "1.0.0")))
            open = max_u32(open, offer.weight);
        else if (is_word(offer.type, "text/plain") && (any || is_word(offer.version, "0.0.4")))
            text = max_u32(text, offer.weight);
    }
    return open > 0 && open >= text ? METRICS_OPEN : METRICS_TEXT;
}
