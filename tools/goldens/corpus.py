"""Texts on which tokenizers go wrong. Used by tokenizer.py; written for this purpose."""
import numpy as np

PROSE = [
    'The engine reads the whole film once, and then it answers questions about what it saw and where.',
    "I've said it before: they'll come when it's ready, we're sure you'd agree, and I'm not the one who'd've known.",
    "I'VE SAID IT: THEY'LL COME, WE'RE SURE YOU'D AGREE. IT'S O'CLOCK; 'TIS THE SEASON. DON'T 'RE-READ' 'S",
    "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'Ve 'lL x's x'S x'ſ don''t '' ''' 'sa 'ta 'lla 'rex",
    'Der Überfluss an Größe läßt sich für gewöhnlich nicht messen; Straßenbahnhaltestellenschild, Äpfel, Öl, ß, ẞ.',
    "L'été dernier, à la plage, où étaient les œufs? Ça va, c'est l'île d'Elbe, « voilà », n'est-ce pas?",
    '¿Dónde está el niño? ¡Aquí! El pingüino comió piñas en Cádiz y bebió café con azúcar.',
    'Český výtah přijel pozdě, řekl žlutý kůň; Zażółć gęślą jaźń; Árvíztűrő tükörfúrógép; Ștefan și țara.',
    'Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак і ґанок. Ђорђе, Њујорк.',
    'Η γρήγορη αλεπού πηδά πάνω από τον τεμπέλη σκύλο· ΑΘΗΝΑ, ὦ ἄνδρες Ἀθηναῖοι.',
    'أهلاً وسهلاً! كيف حالك اليوم؟ الأرقام: ٠١٢٣٤٥٦٧٨٩، والنسبة ٪٥٠. مُحَمَّد',
    'שלום עולם, מה שלומך? בְּרֵאשִׁית בָּרָא אֱלֹהִים',
    'नमस्ते दुनिया! क्षत्रिय, ज्ञान, श्री, हिन्दी में १२३४५ रुपये।',
    'বাংলা ভাষা সুন্দর; தமிழ் மொழி இனிது, ௧௨௩; తెలుగు లిపి; ಕನ್ನಡ; മലയാളം; ગુજરાતી',
    'สวัสดีชาวโลก วันนี้อากาศดี ๑๒๓ บาท ไม่มีช่องว่างระหว่างคำ',
    'ພາສາລາວ ភាសាខ្មែរ မြန်မာဘာသာ བོད་སྐད་ ქართული ენა Հայերեն լեզու ትግርኛ አማርኛ ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ',
    '你好，世界！今天是二〇二四年三月十五日，星期五。我买了３本书，共￥１２８元。「引号」——破折号……',
    '今日は良い天気ですね。カタカナ、ﾊﾝｶｸ、ひらがな、漢字が混ざっています。「はい」〜　全角空白',
    '안녕하세요 세계! 오늘 날씨가 좋습니다. 가나다라마바사 ㄱㄴㄷ ㅋㅋㅋㅋ 한글과 English가 섞인 문장',
    'Tiếng Việt có nhiều dấu: ắằẳẵặ ếềểễệ ốồổỗộ; đường phố Hà Nội, phở bò.',
    'Türkçe: İstanbul, ılık, ğ, ş; Íslenska: það er ágætt; Gàidhlig; Malti: ħ għ; Hawaiʻi; Yorùbá: ẹ̀kọ́',
    'mixed世界textтекстنصδοκιμή한글ไทย123abc４５６',
]

MARKS = [
    'e\u0301 cafe\u0301 A\u030a n\u0303 o\u0302\u0323 \u1e69 s\u0323\u0307 s\u0307\u0323',
    '\u212b \u2126 \u00c5 \ufb01 \u2460 \uff21 \u1100\u1161\u11a8 \uac01',
    'Z\u0351\u036b\u0343a\u0316\u0327l\u030d\u030bg\u0321\u0322o\u0334\u0315 he comes',
    '\u0301 leading mark, x \u0301y, \u0e31\u0e33, \u0915\u094d\u200d\u0937, \u200d\u200c\u200b\u2060\ufeff',
    'a\u0338= \u0338 1\u20e3 #\ufe0f\u20e3 \u0488 a\u0488',
]

SYMBOLS = [
    '😀😃😄 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🧑🏿‍🚀 🇩🇪🇫🇷🇯🇵 ❤️ ☺ ©®™ 🫠 1️⃣',
    '😀a😀 b 😀 1😀2',
    '∀x∈ℝ: ∃y≥x², ∑ᵢ₌₁ⁿ i = n(n+1)/2, √2≈1.41421356, π, ∞, ∂f/∂x, ⌊x⌋, ½ ¾ ⅓ Ⅷ ⅻ ① ㊿ ₂ ³ ४',
    '← ↑ → ↓ ⇒ ▲ ■ ● ★ ☆ ♥ ♫ ✓ ✗ … — – ‐ ‑ “ ” ‘ ’ „ ‚ « » ‹ › § ¶ † ‡ • ° ′ ″',
    '$100, €50, £20, ¥1000, ₿0.5, 50%, 3‰, #tag @user a&b x^y ~home `code` |pipe| <tag> {a} [b] (c) \\back\\slash',
    '!@#$%^&*()_+-=[]{}|;\':",./<>?`~ !!! ??? ... ,,, ;;; ::: --- ___ === +++ *** ### $$$ %%% &&& @@@',
    '$+<=>^~| a$b+c<d=e>f^g~h|i  $  +  <  =  >  ^  ~  |  _-,.;:',
]

NUMBERS = [
    '0 1 12 123 1234 12345 123456 1234567 12345678 123456789 1234567890',
    '3.14159 1,234,567.89 1e-10 0x1F4A9 192.168.0.1 2024-03-15T12:34:56Z +49 (0)30 1234567 007 v1.2.3-rc4',
    'a1b22c333d4444e55555 abc123def ABC123 x9 9x 1st 2nd 3rd 4th 10th 1990s 24/7 50-50 1:0',
    '١٢٣٤ १२३४ １２３４ ๑๒๓๔ 𝟏𝟐𝟑𝟒 ²³¹ ₀₁₂₃ ⅠⅡⅢⅣ ①②③④ 一二三四 ½⅓¼',
]

CODE = [
    'for (int i = 0; i < n; i++) {\n\tif (a[i] != b[i])\n\t\treturn -1; // differs\n}\n',
    'def f(x, *args, **kw):\n    """doc"""\n    return {k: v**2 for k, v in x.items() if v >= 0}  # ok\n\n\nclass A(B):\n    pass\n',
    '#include <stdio.h>\n\nint main(void)\n{\n    printf("%d\\n", 0xFF);\n    return 0;\n}\n',
    'SELECT a.id, COUNT(*) FROM t AS a LEFT JOIN u ON a.id=u.id WHERE a.x<>\'y\' GROUP BY 1;',
    '<html><body class="x">&nbsp;&lt;p&gt;</body></html>\r\n<!-- c -->\r\n',
    '{"key": [1, 2.5, null, true], "s": "a\\u00e9\\n"}',
    'https://example.org/a/b?c=d&e=%20f#g user@example.org C:\\Users\\x\\file.txt /usr/local/lib/x86_64',
    'camelCaseString snake_case_string SCREAMING_SNAKE kebab-case-string HTTPServerError2XX __init__ ->> <<= &&= ::',
    '    four\n        eight\n\ttab\n\t\ttwo tabs\n \t mixed \t \n',
]

BLANKS = [
    '', ' ', '  ', '   ', '    ', ' ' * 17, '\n', '\n\n', '\n\n\n', '\t', '\t\t', '\t\t\t\t', '\r\n', '\r\n\r\n', '\r', '\n \n', ' \n', '\n ', ' \n ',
    'a ', ' a', '  a', '   a', 'a  b', 'a   b', 'a    b', 'a\nb', 'a\n\nb', 'a \n b', 'a  \n  b', 'a\t b', 'a \tb', 'a\t\tb', 'a\n', 'a\n\n', 'a \n', 'a  ', 'a   ',
    ' \t\n\r\n \t x \t\n', '\n\n  x', '.\n', '.\n\n', '. \n', '!\r\n\r\n?', '..\n\n..', 'x\r\ny\rz\n', '  .', '  1', '  \u00e9', ' 1', '\n1', '\t1', '\n.', '\ta',
    'a\u00a0b', '\u00a0', '\u00a0\u00a0a', 'a\u3000b', '\u3000\u3000', 'a\u2003b\u2009c', '\u2028x\u2029y', 'x\u0085y', '\x0b\x0cx\x0by', 'a\u200bb', 'a\u1680b', '\ufeffx',
    'a\x00b', '\x00', '\x01\x02\x7f\x1b[0m', 'a\x1c\x1d\x1e\x1fb', '\u180e', 'x \u00a0 y', ' \u3000 z', '\u202f5\u202f000',
    'end of text \n\n\n   ', 'trailing tab\t', '   leading and trailing   ', '▁', '▁▁ ▁a', 'Ġ Ċ ĠĠ', '<0x0A> <0xE2>', '\ufffd \ufffd\ufffd',
]

RUNS = [
    'a' * 40, 'ab' * 30, ' a' * 20, 'é' * 25, '😀' * 12, '0' * 33, '9' * 40, '-' * 50, '=' * 64, '.' * 31, '\n' * 20, '\t' * 13, 'の' * 20, '\u0301' * 9,
    'aaaa aaaaa aaaaaa aaaaaaa', 'hahahahahahaha', 'Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch', 'xXxXxXxX' * 6, '1.' * 20, '\'\'' * 10, '\r\n' * 9,
]

SPECIAL_TEXTS = [
    '<|im_start|>user\nHello<|im_end|>\n', 'a<|im_start|>b', '<|im_start|><|im_start|>', '<|im_start|', '|im_start|>', ' <|im_end|> ', '  <|im_end|>\n\n<|im_end|>',
    '<|endoftext|>', '<|im_start|>system\nYou are<|im_end|>\n<|im_start|>user\n1 + 1 = ?<|im_end|>\n<|im_start|>assistant\n',
    'x<extra>y', 'x<extra><extra_long>y<extra_lon>', '<|im_start|>  two blanks', '<|im_end|>123', "<|im_end|>'s",
]

# Bytes that are no UTF-8: no Hugging Face tokenizer takes them, so there are no ids to compare; they must come back unharmed.
BROKEN = [b'\xff', b'a\x80b', b'\xc3', b'\xe2\x82', b'\xf0\x9f\x98', b'x\xc0\xafy', b'\xed\xa0\x80', b'\xf4\x90\x80\x80', b'\xfe\xfe\xff\xff caf\xe9 ', b'\xe2\x28\xa1 ok',
          b'good \xf0\x9f\x98\x80 bad \xf0\x9f\x98', b'\x80' * 40]

ALPHABETS = ['abcdefgh', 'ABCXYZ', '0123456789', '   ', '\n\r\t', '.,;:!?-_', '\'"`()[]{}', '$+<=>^~|#@&*/\\', 'äöüßéèñçøå', 'абвгдЖЩ', 'αβγΔΩ', 'あいうカキク',
             '漢字日本語', '가나다', 'กขคงจ', 'कखगािी्', 'ابجدَُِ', 'אבגְִ', '\u0301\u0308\u0323', '😀👍🏽\u200d\ufe0f❤', '²³½Ⅷ①', '\u00a0\u3000\u2003\u200b', '١٢٣४५６７']


def random_texts(n, seed):
    """n strings of pieces from changing alphabets: borders between kinds of characters in every combination."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        s = ''
        for _ in range(rng.integers(3, 14)):
            letters = ALPHABETS[rng.integers(len(ALPHABETS))]
            s += ''.join(letters[i] for i in rng.integers(0, len(letters), rng.integers(1, 5)))
        out.append(s)
    return out


def plain():
    """Every text without special tokens."""
    return PROSE + MARKS + SYMBOLS + NUMBERS + CODE + BLANKS + RUNS + random_texts(120, 4)
