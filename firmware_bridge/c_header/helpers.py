"""The C functions that every header brings along, each behind a guard of its own, so that several headers go together."""

from firmware_bridge.c_header.names import comment

__all__ = ["F64", "WIRE", "checksum_lines"]

WIRE = """\
#ifndef CITYNERVE_WIRE_HELPERS
#define CITYNERVE_WIRE_HELPERS

/* Fails to compile where the condition does not hold. */
#define CN_ASSERT(name, condition) typedef char cn_assert_##name[(condition) ? 1 : -1]

CN_ASSERT(bytes_have_eight_bits, CHAR_BIT == 8);
CN_ASSERT(float_has_four_bytes, sizeof(float) == 4);

/* Where the bytes of a number lie, A the most significant: of 32 bits in two registers, or in four bytes of a frame. */
#define CN_ABCD 0u
#define CN_DCBA 1u
#define CN_CDAB 2u /* low register first */
#define CN_BADC 3u /* low byte first in each register */

/* Where byte i, counted from the most significant, lies among size bytes. */
static inline unsigned cn_place(unsigned i, unsigned size, unsigned order)
{
    switch (order) {
    case CN_DCBA:
        return size - 1u - i;
    case CN_CDAB:
        return (size - 2u - (i & ~1u)) + (i & 1u);
    case CN_BADC:
        return i ^ 1u;
    default:
        return i;
    }
}

static inline void cn_put32(uint8_t *at, uint32_t raw, unsigned size, unsigned order)
{
    unsigned i;
    for (i = 0; i < size; i++)
        at[cn_place(i, size, order)] = (uint8_t)(raw >> (8u * (size - 1u - i)));
}

static inline void cn_put64(uint8_t *at, uint64_t raw, unsigned size, unsigned order)
{
    unsigned i;
    for (i = 0; i < size; i++) {
        unsigned shift = 8u * (size - 1u - i);
        at[cn_place(i, size, order)] = (uint8_t)(shift < 64u ? raw >> shift : 0u);
    }
}

static inline uint64_t cn_get64(const uint8_t *at, unsigned size, unsigned order)
{
    uint64_t raw = 0;
    unsigned i;
    for (i = 0; i < size; i++)
        raw = (raw << 8) | at[cn_place(i, size, order)];
    return raw;
}

/* Writes count bits from the lowest on; the others stay. */
static inline void cn_put_bits(uint8_t *at, unsigned size, unsigned order, unsigned lowest, unsigned count, uint64_t bits)
{
    uint64_t mask = (count < 64u ? ((uint64_t)1 << count) - 1u : ~(uint64_t)0) << lowest;
    cn_put64(at, (cn_get64(at, size, order) & ~mask) | ((bits << lowest) & mask), size, order);
}

static inline uint32_t cn_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Packed decimal digits, two a byte. */
static inline uint64_t cn_to_bcd(uint64_t value)
{
    uint64_t digits = 0;
    unsigned shift;
    for (shift = 0; shift < 64u; shift += 4u) {
        digits |= (value % 10u) << shift;
        value /= 10u;
    }
    return digits;
}

/* Text padded with zero bytes; what is too long is cut. */
static inline void cn_put_text(uint8_t *at, unsigned size, unsigned order, const char *text)
{
    unsigned i;
    for (i = 0; i < size; i++) {
        at[cn_place(i, size, order)] = (uint8_t)*text;
        if (*text != 0)
            text++;
    }
}

/* To the nearest whole number, halves away from zero. */
static inline int64_t cn_round(double value)
{
    return (int64_t)(value < 0 ? value - 0.5 : value + 0.5);
}

#endif /* CITYNERVE_WIRE_HELPERS */
"""

F64 = """\
#ifndef CITYNERVE_WIRE_DOUBLE
#define CITYNERVE_WIRE_DOUBLE

CN_ASSERT(double_has_eight_bytes, sizeof(double) == 8);

static inline uint64_t cn_bits_of_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#endif /* CITYNERVE_WIRE_DOUBLE */
"""

# Kind of checksum: the C name, where it starts from, what one byte does to it, what becomes of it in the end.
_CHECKSUMS = {
    "sum8": ("sum8", "0", "sum += data[i];", "sum & 0xFFu"),
    "sum8-ones": ("sum8_ones", "0", "sum += data[i];", "~sum & 0xFFu"),
    "lrc": ("lrc", "0", "sum += data[i];", "(0u - sum) & 0xFFu"),
    "xor8": ("xor8", "0", "sum ^= data[i];", "sum"),
    "sum16": ("sum16", "0", "sum += data[i];", "sum & 0xFFFFu"),
    "crc16-modbus": ("crc16_modbus", "0xFFFFu", "CN_REFLECTED", "sum"),
    "crc16-xmodem": ("crc16_xmodem", "0", "CN_STRAIGHT", "sum"),
    "crc16-ccitt": ("crc16_ccitt", "0xFFFFu", "CN_STRAIGHT", "sum"),
}
_BIT = {
    "CN_REFLECTED": ("sum ^= data[i];", "sum = (sum & 1u) != 0 ? (sum >> 1) ^ 0xA001u : sum >> 1;"),
    "CN_STRAIGHT": (
        "sum ^= (uint32_t)data[i] << 8;",
        "sum = ((sum & 0x8000u) != 0 ? (sum << 1) ^ 0x1021u : sum << 1) & 0xFFFFu;",
    ),
}


def checksum_lines(kind: str) -> tuple[str, str]:
    """The name of the C function of a profile's kind of checksum, and its text. KeyError for "none"."""
    word, start, step, result = _CHECKSUMS[kind]
    body = [f"        {step}"]
    if step in _BIT:
        first, each = _BIT[step]
        body = [f"        {first}", "        for (bit = 0; bit < 8u; bit++)", f"            {each}"]
    guard = f"CITYNERVE_WIRE_{word.upper()}"
    lines = [
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        comment(f"The checksum that the profile calls {kind}."),
        f"static inline uint32_t cn_{word}(const uint8_t *data, size_t size)",
        "{",
        f"    uint32_t sum = {start};",
        "    size_t i;",
        *(["    unsigned bit;"] if step in _BIT else []),
        "    for (i = 0; i < size; i++) {",
        *body,
        "    }",
        f"    return {result};",
        "}",
        "",
        f"#endif /* {guard} */",
    ]
    return f"cn_{word}", "\n".join(lines) + "\n"
