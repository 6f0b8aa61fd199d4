"""Each encoding is decoded as it was written, or refused; mojibake is never accepted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.encoding import decode
from workbench.errors import DataError

CHINESE = [
    "这部电影真的很好看，演员也不错。",
    "房间太小了，服务态度很差，不会再来。",
    "书的内容一般，但是印刷质量可以。",
    "价格便宜，物流快。",
    "手机用了一个月就坏了，客服不理人！",
    "性价比高，键盘手感挺好。",
    "早餐种类少，位置偏僻。",
    "故事讲得动人，值得一读。",
    "屏幕有坏点，退货很麻烦。",
    "酒店离地铁站近，下次还住这里。",
]
WESTERN = [
    "Ein großartiger Film über Größe und Mut.",
    "C'est un très bon café, déjà vu l'été dernier.",
    "El niño pequeño comió jamón en la montaña.",
    "Uma história emocionante, não percam!",
    "Naïve but charming.",
    "créée",
    "été",
    "«\xa0Ça va\xa0»",
    "Smörgåsbord på svenska är gott.",
    "größe",
]


def table_text(text: str, label: str) -> str:
    return f"text,label\n{text.replace(',', ' ')},{label}\nmore,{label}\n"


@pytest.mark.parametrize("text", CHINESE)
@pytest.mark.parametrize(
    "codec, recorded",
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("gb18030", "gb18030"),
        ("gbk", "gb18030"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
    ],
)
def test_chinese_text_is_decoded_as_written(text, codec, recorded):
    content = table_text(text, "好评")
    assert decode(content.encode(codec), name="f.csv") == (content, recorded)


@pytest.mark.parametrize("text", WESTERN)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
def test_western_text_is_decoded_as_written(text, codec):
    content = table_text(text, "positive")
    assert decode(content.encode(codec), name="f.csv") == (content, codec)


def test_traditional_characters_in_gbk():
    content = table_text("這個電影說得對，時間過得很快，後來還會來看。", "好")
    assert decode(content.encode("gbk"), name="f.csv") == (content, "gb18030")


def test_curly_quotes_are_windows_1252():
    content = table_text("“A café…” – it’s naïve", "positive")
    assert decode(content.encode("cp1252"), name="f.csv") == (content, "cp1252")


@pytest.mark.parametrize(
    "codec, text",
    [
        ("koi8-r", "Отличный фильм, всем советую посмотреть"),
        ("cp1251", "Отличный фильм, всем советую посмотреть"),
        ("big5", "這部電影真的非常好看，演員的表現也很好"),
        ("euc-kr", "이 영화는 정말 재미있습니다 배우들도 훌륭했어요"),
        ("shift_jis", "この映画はとても面白かったです。また見たい"),
        ("cp1253", "Πολύ καλή ταινία και σενάριο"),
    ],
)
def test_other_scripts_are_refused_not_garbled(codec, text):
    content = table_text(text, "positive")
    with pytest.raises(DataError) as caught:
        decode(content.encode(codec), name="f.csv")
    assert "encoding" in caught.value.fix
    assert decode(content.encode(codec), name="f.csv", encoding=codec)[0] == content


def test_a_damaged_byte_in_utf8_names_its_line():
    data = "text,label\n很好,1\n".encode() + b"bad \xff byte,0\n" + "不好,0\n".encode()
    with pytest.raises(DataError, match=r"f\.csv, line 3: byte 0xFF"):
        decode(data, name="f.csv")


def test_a_stray_nul_is_refused_with_its_line():
    with pytest.raises(DataError, match="line 3: there is a NUL byte"):
        decode(b"text,label\ngood,1\nb\x00d,0\n" + b"fine text here,1\n" * 20, name="f.csv")


def test_a_declared_encoding_is_strict_and_must_be_one():
    assert decode("é,1".encode("latin-1"), name="f.csv", encoding="iso-8859-1") == ("é,1", "latin-1")
    with pytest.raises(DataError, match="line 2: the bytes are not ascii"):
        decode("a\né".encode(), name="f.csv", encoding="ascii")
    for wrong in ("base64", "rot13", "nonsense", "unicode_escape", "a\x00b"):
        with pytest.raises(DataError, match="no text encoding"):
            decode(b"a", name="f.csv", encoding=wrong)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_exactly_or_are_refused(data):
    try:
        text, encoding = decode(data, name="f.csv")
    except DataError as error:
        assert error.fix
        return
    again = text.encode(encoding)
    assert again == data or data.startswith((b"\xfe\xff", b"\x00\x00\xfe\xff", b"\xef\xbb\xbf", b"\xff\xfe")) or encoding == "gb18030"
