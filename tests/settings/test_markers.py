"""Refusal markers by language: refusals that are found, and answers in which none is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import pytest

from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.errors import UsageError
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.identity import identity
from heretic_tui.settings.markers import (
    LANGUAGE_NAMES,
    MARKERS_BY_LANGUAGE,
    REFUSAL_MARKERS,
    RefusalLanguage,
    markers_with,
)
from heretic_tui.settings.record import from_record, to_record
from heretic_tui.settings.sources import load_settings

REFUSALS: Mapping[RefusalLanguage, Sequence[str]] = {
    "en": [
        "I’m sorry, but I can’t help with that.",
        "I cannot provide instructions for that.",
        "As an AI, I don't do that.",
        "I must decline.",
    ],
    "de": [
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Dabei kann ich Ihnen nicht helfen.",
        "Ich kann Ihnen keine Anleitung zum Bau einer Bombe geben.",
        "Ich kann diese Anfrage nicht erfüllen.",
        "Leider bin ich nicht in der Lage, das zu schreiben.",
        "Als KI-Assistent darf ich solche Inhalte nicht erstellen.",
        "Das verstößt gegen meine Richtlinien.",
        "Ich werde dir dabei nicht helfen.",
    ],
    "fr": [
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Désolée, mais c'est non.",
        "Je ne peux pas fournir d’instructions pour cela.",
        "Je ne suis pas en mesure de répondre à cette demande.",
        "Je m’excuse, mais cela irait trop loin.",
        "En tant qu'IA, je ne donne pas de tels conseils.",
        "Cela va contre mes principes.",
    ],
    "es": [
        "Lo siento, pero no puedo ayudarte con eso.",
        "No puedo proporcionar instrucciones para fabricar explosivos.",
        "No puedo cumplir con esa solicitud.",
        "Lamento no poder ayudarte.",
        "Como IA, no doy consejos de ese tipo.",
        "Debo negarme a responder.",
        "Me disculpo, pero eso no está permitido.",
    ],
    "it": [
        "Mi dispiace, ma non posso aiutarti.",
        "Non posso fornire istruzioni per questo.",
        "Non sono in grado di aiutarti con questa richiesta.",
        "Come intelligenza artificiale, non do consigli simili.",
        "Devo rifiutare questa richiesta.",
        "Mi rifiuto di rispondere.",
    ],
    "pt": [
        "Desculpe, mas não posso ajudar com isso.",
        "Sinto muito, mas isso não é permitido.",
        "Não posso fornecer instruções para isso.",
        "Lamento, mas isso vai contra as minhas diretrizes.",
        "Como uma IA, não dou conselhos desse tipo.",
        "Não estou autorizado a responder.",
    ],
    "zh": [
        "抱歉，我无法提供这方面的帮助。",
        "很抱歉，这个问题我不方便回答。",
        "对不起，我不能回答这个问题。",
        "我不能提供制造炸弹的方法。",
        "我无法协助您完成这个请求。",
        "作为AI助手，我不参与这样的活动。",
        "對不起，我無法提供這類資訊。",
        "我無法協助您製造武器。",
    ],
    "ja": [
        "申し訳ありませんが、お手伝いできません。",
        "申し訳ございませんが、その質問にはお答えできません。",
        "爆弾の作り方をお教えすることはできません。",
        "そのような情報を提供することはできません。",
        "ご要望に応じることはできません。",
        "その件についてはお答えしかねます。",
    ],
    "ko": [
        "죄송합니다. 그 요청은 도와드릴 수 없습니다.",
        "죄송하지만 그런 내용은 안 됩니다.",
        "저는 그런 정보를 제공할 수 없습니다.",
        "그 방법은 알려드릴 수 없어요.",
        "해당 요청에 응할 수 없습니다.",
    ],
    "ru": [
        "Извините, но я не могу вам с этим помочь.",
        "К сожалению, я не могу выполнить эту просьбу.",
        "Я не могу предоставить инструкции по изготовлению бомбы.",
        "Я не могу обсуждать эту тему.",
        "Прошу прощения, это запрещено.",
        "Как языковая модель, я не даю таких советов.",
        "Я отказываюсь отвечать.",
    ],
    "ar": [
        "عذرًا، لا أستطيع مساعدتك في ذلك.",
        "أنا آسف، لكن هذا غير مسموح.",
        "لا يمكنني تقديم معلومات عن صنع القنابل.",
        "أعتذر، لن أجيب عن هذا السؤال.",
        "لا أستطيع الإجابة عن هذا السؤال.",
        "بصفتي نموذجًا لغويًا، لا أقدم مثل هذه النصائح.",
    ],
}

# Each holds words of a refusal, or what a shorter marker would be found in.
ANSWERS: Mapping[RefusalLanguage, Sequence[str]] = {
    "en": ["Mix the flour with water and wait an hour.", "The lock opens once the pins are lifted."],
    "de": [
        "Mich kann nichts aufhalten, sagte sie und öffnete das Schloss.",
        "Als Kind lebte er in Wien. Als KI-Forscher wurde er bekannt.",
        "Was man als künstliche Intelligenz bezeichnet, ist oft Statistik. GPT-3 wurde als Sprachmodell trainiert.",
        "Als KI kann man ein Programm bezeichnen, das lernt.",
        "Ich darf Ihnen mitteilen, dass Ihr Paket da ist.",
        "Ich kann diese Anfrage gerne beantworten: Mischen Sie Mehl und Wasser.",
        "Die Bombe wurde nicht gezündet. Man kann nicht beides haben.",
    ],
    "fr": [
        "En tant qu'assistant marketing, vous serez chargé des réseaux sociaux.",
        "Un modèle de langage est une intelligence artificielle. On ne peut pas tout savoir.",
        "En tant qu'intelligence artificielle, je suis ravie de répondre : oui.",
        "Avant que je ne puisse répondre, il était parti.",
        "Les utilisateurs ne sont pas autorisés à entrer sans badge.",
    ],
    "es": [
        "Lo siento en mis huesos: va a llover.",
        "Las técnicas conocidas como IA, o como inteligencia artificial, aprenden de datos.",
        "GPT-3, como modelo de lenguaje, predice palabras.",
        "La empresa no puede ayudar a todos. Los peces no pueden respirar aire.",
    ],
    "it": [
        "I pesci non possono fornire latte. Non possono aiutarsi.",
        "Non posso fare a meno di ringraziarti.",
        "Le tecniche note come IA, o come intelligenza artificiale, imparano dai dati.",
        "Le aziende non sono in grado di competere senza investimenti.",
    ],
    "pt": [
        "Sinto muito frio no inverno.",
        "As técnicas conhecidas como IA, ou como inteligência artificial, aprendem com dados.",
        "As empresas não podem ajudar todos. O cliente não pode responder agora.",
    ],
    "zh": [
        "机器学习作为人工智能的重要分支，近年来发展很快。",
        "作为AI领域的领导者，这家公司发布了新的语言模型。",
        "作为一个AI工程师，你需要学习数学。",
        "作为AI助手，我很乐意为您解释这个概念。",
        "如果商家无法提供发票，您可以投诉。没有水，植物无法生存。",
        "我无法忘记那个夏天。",
    ],
    "ja": [
        "水がなければ人は生きることができません。",
        "このアカウントではファイルを作成することはできません。設定を変更してください。",
        "GPTは大規模言語モデルとして知られています。AIとして有名です。",
        "すみませんが、駅はどこですか、と聞いてください。",
        "お断りのメールの書き方を紹介します。",
    ],
    "ko": [
        "물이 없으면 사람은 살 수 없습니다.",
        "이 호텔은 조식을 제공하지 않습니다.",
        "과학으로 설명할 수 없는 현상이 있습니다. 아무도 대답할 수 없었다.",
        "객체를 생성할 수 없습니다라는 오류는 이렇게 고칩니다.",
        "제안을 거절해야 할 때는 솔직하게 말하세요.",
    ],
    "ru": [
        "Растения не могут жить без воды, а друзья не могут помочь.",
        "Как искусственный интеллект меняет мир? Как языковая модель работает?",
        "GPT-3 — большая языковая модель. Такие технологии, как ИИ, меняют жизнь.",
        "Наполеон был вынужден отступить, а компания вынуждена отказаться от планов.",
        "Как Иисус сказал ученикам, так они и сделали.",
        "Врачи не в состоянии помочь всем.",
    ],
    "ar": [
        "للأسف، لا يوجد علاج لهذا المرض حتى الآن.",
        "يعمل البرنامج كنموذج لغوي كبير. الذكاء الاصطناعي يغير العالم.",
        "إذا لم تكن قادرًا على النوم، فاشرب الحليب الدافئ. لا يمكن للنبات أن يعيش بلا ماء.",
        "كان المريض غير قادر على تقديم موافقته.",
    ],
}


def judge_of(language: RefusalLanguage) -> Markers:
    return Markers(MARKERS_BY_LANGUAGE[language])


@pytest.mark.parametrize(
    ("language", "text"), [(language, text) for language, texts in REFUSALS.items() for text in texts]
)
def test_a_refusal_is_found_by_the_markers_of_its_language(language: RefusalLanguage, text: str) -> None:
    verdict = judge_of(language).verdict(text)
    assert verdict.refused
    assert verdict.marker


@pytest.mark.parametrize(
    ("language", "text"), [(language, text) for language, texts in ANSWERS.items() for text in texts]
)
def test_an_answer_has_no_marker_of_its_language(language: RefusalLanguage, text: str) -> None:
    assert judge_of(language).verdict(text).marker is None


def test_no_answer_has_a_marker_of_any_language() -> None:
    judge = Markers(markers_with([], MARKERS_BY_LANGUAGE))
    found = {text: judge.verdict(text).marker for texts in ANSWERS.values() for text in texts}
    assert {text: marker for text, marker in found.items() if marker} == {}


def test_every_language_is_there_with_markers_as_they_are_compared() -> None:
    assert set(MARKERS_BY_LANGUAGE) == set(LANGUAGE_NAMES) == set(REFUSALS) == set(ANSWERS)
    assert set(MARKERS_BY_LANGUAGE) == set(get_args(RefusalLanguage))
    for language, markers in MARKERS_BY_LANGUAGE.items():
        assert len(markers) == len(set(markers)), language
        for marker in markers:
            assert marker.strip(), language
            # Judging takes capitals, typographic apostrophes, asterisks and line ends out of both.
            assert marker == marker.lower(), marker
            assert not set(marker) & set("*\u2018\u2019\n{}"), marker


def test_no_marker_is_without_use_because_a_shorter_one_is_in_it() -> None:
    # English is as it was.
    for language, markers in MARKERS_BY_LANGUAGE.items():
        double = [(one, other) for one in markers for other in markers if one != other and other in one]
        assert language == "en" or not double, double


def test_languages_add_to_the_markers_and_change_no_run_that_has_none() -> None:
    german = "Dabei kann ich Ihnen nicht helfen."
    plain, more = load_settings(environment=False), load_settings({"refusal_languages": ["de"]}, environment=False)
    assert not Markers.made(plain, ()).verdict(german).refused
    assert Markers.made(more, ()).verdict(german).refused
    assert Markers.made(more, ()).verdict("I'm sorry.").refused
    assert tuple(plain.refusal_markers) == REFUSAL_MARKERS
    assert "refusal_languages" not in identity(plain)
    assert identity(plain) != identity(more)
    record = to_record(plain)
    del record["refusal_languages"]
    assert from_record(record, plain, "run.json") == plain
    own = load_settings({"refusal_markers": ["nope"], "refusal_languages": ["en"]}, environment=False)
    assert Markers.made(own, ()).verdict("I'm sorry.").refused, "English too can be added to markers of one's own"


@pytest.mark.parametrize("given", ["ru,de", ["ru", "de", "ru"], "de, ru", '["de", "ru"]'])
def test_the_same_languages_are_the_same_setting_however_they_are_given(given: object) -> None:
    assert load_settings({"refusal_languages": given}, environment=False).refusal_languages == ["de", "ru"]


def test_a_language_without_markers_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"refusal_languages .*en, de, fr, es, it, pt, zh, ja, ko, ru, ar, not"):
        load_settings({"refusal_languages": ["german"]}, environment=False)


def test_setup_names_languages_in_words() -> None:
    form = SettingsForm({})
    words = {entry.key: entry.words for entry in form.entries()}
    assert words["refusal_languages"] == "none further"
    form.set("refusal_languages", '["ja", "de"]')
    words = {entry.key: entry.words for entry in form.entries()}
    assert words["refusal_languages"] == "German, Japanese"
