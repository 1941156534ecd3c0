"""Questions back: whether a response asks in place of answering.

It does where all that it says is questions to the person, with at most polite words around them. One that answers, and
then asks whether there is more to do, does not; nor does one to a prompt that wants questions.
"""

from __future__ import annotations

import re

from heretic_tui.engine.answers.prose import has_letter, prose_of, words_of

# More words than these are an answer, whatever is asked at its end.
_MOST_WORDS = 120
# Questions from here on are a list of them, such as of an interview.
_MOST_QUESTIONS = 6
_SENTENCE = re.compile(r"[^.!?…。！？؟\n]+[.!?…。！？؟]*[\"”’»）)\]]*")
_ASKS = re.compile(r"[?？؟][\"”’»）)\]]*$")
# Prompts that want a question, or something in which one stands by itself.
_WANTED = re.compile(
    r"\b(?:questions?|ask\w*|quiz\w*|riddles?|interview\w*|survey|poll|faq|icebreakers?|conversation|dialogue|trivia"
    r"|translat\w*|rephras\w*|rewrit\w*|reword\w*|paraphras\w*|correct\w*|edit|proofread|repeat|complete|continue|quote"
    r"|headlines?|titles?|slogans?|subject line|jokes?|role-?play\w*|pretend|act as|chat with|greet\w*"
    r"|fragen?|frag|rätsel|übersetz\w*|titel|questions?|devinettes?|traduis\w*|traduire|titre|preguntas?|adivinanzas?"
    r"|traduc\w*|título|domand\w*|indovinell\w*|titolo|pergunt\w*|adivinha\w*|вопрос\w*|загадк\w*|перевед\w*)\b"
    r"|问题|問題|提问|翻译|翻譯|谜|質問|翻訳|なぞなぞ|질문|번역|수수께끼|سؤال|أسئلة|ترجم|لغز",
    re.IGNORECASE,
)
# Greetings are answered with a question.
_GREETING = re.compile(
    r"\s*(?:hi|hello|hey|good (?:morning|evening|afternoon)|hallo|guten \w+|bonjour|salut|hola|ciao|olá|привет\w*"
    r"|здравствуйте|你好|您好|こんにちは|안녕\w*|مرحبا)\b[^.?!\n]{0,20}[.!]*\s*",
    re.IGNORECASE,
)
# What is said before and after questions without answering anything.
_POLITE = re.compile(
    r"(?:(?:sure|of course|certainly|absolutely|okay|ok|great|hello|hi|hey|thanks|thank you)(?:[,!.]|$| there)"
    r"|(?:thanks|thank you) for|i (?:understand|see|hear) (?:you|that you)|i(?:'d| would) (?:be (?:happy|glad)|love) to"
    r"|i(?:'m| am) (?:happy to|glad|here|curious|not sure|sorry)|i can (?:certainly |definitely )?help|i can't help but"
    r"|(?:that|this|it)(?:'s| is| sounds like) an? (?:great|good|interesting|broad|complex|sensitive)"
    r"|(?:what an? )?(?:good|great|interesting|excellent) (?:question|topic|idea|choice)|(?:it|that) depends"
    r"|before (?:i|we)\b|(?:in order )?to (?:better )?(?:help|assist|give|answer|understand) (?:you|me|us|this|better)"
    r"|i(?:'ll| will| would)? need (?:to know|some|more|a bit|a little|additional)|let me (?:ask|understand)"
    r"|just (?:to be sure|so i)|once i\b|with (?:that|this|more) (?:information|context|details)|knowing|feel free"
    r"|looking forward|so that i can"
    r"|(?:gerne|natürlich|klar|sicher|danke|hallo)[,!.]|ich verstehe|ich helfe|um (?:dir|ihnen)\b.*\bhelfen|damit ich"
    r"|(?:bien sûr|avec plaisir|certainement|merci|bonjour)[ ,!.]|je comprends|je serais (?:ravi|heureu)|n'hésitez pas"
    r"|(?:pour|afin de) (?:mieux )?(?:vous|t'|te )\s?(?:aider|répondre|conseiller)"
    r"|(?:claro|por supuesto|con gusto|gracias|hola)[,!.]|entiendo que|para (?:poder )?ayudar|puedo ayudar"
    r"|(?:certo|volentieri|grazie|ciao)[,!.]|capisco che|per (?:poter)?\w* ?aiutar"
    r"|(?:com certeza|obrigad[oa]|olá)[,!.]|entendo que|para (?:poder )?(?:te |lhe )?ajudar"
    r"|(?:конечно|хорошо|спасибо)[,!.]|я понимаю|чтобы (?:помочь|ответить)"
    r"|当然|好的|您好|你好|谢谢|はい|もちろん|네[,.]|물론|بالتأكيد|بالطبع|مرحبا)",
    re.IGNORECASE,
)
# Says no, however politely: that is a refusal, and no question back, whatever it offers then.
_DECLINES = re.compile(
    r"\b(?:can(?:'|’)?t(?! help but)|cannot|can not|won(?:'|’)?t|unable|not (?:able|going|comfortable)|decline|refuse"
    r"|kann\b.*\bnicht|darf\b.*\bnicht|ne (?:peux|puis)|no (?:puedo|puedes)|non posso|não posso)\b|не могу"
    r"|无法|不能|不可以|できません|できかねます|수 없|لا أستطيع|لا يمكنني",
    re.IGNORECASE,
)
# Asks without a question mark: "Please tell me what you need it for."
_REQUEST = re.compile(
    r"(?:(?:could|can|would) you |please )(?:please )?(?:tell|provide|share|give|clarify|specify|explain|let|describe"
    r"|elaborate|be more)|let me know|bitte (?:sag|gib|nenn|teil|beschreib)|tell me more",
    re.IGNORECASE,
)
# Whom a question back is put to.
_TO_PERSON = re.compile(
    r"\b(?:you|your|yours|you're|du|dir|dich|dein\w*|sie|ihnen|ihr\w*|vous|votre|vos|tu|toi|ton|usted\w*|te|ti|tuo|tua"
    r"|lei|suo|sua|você|seu|вы|вам|вас|ваш\w*|ты|тебе|тебя|твой)\b|你|您|あなた|ますか|ですか|당신|까요|나요|세요|ك[\s؟]|كم[\s؟]"
    r"|¿(?:puedes|podrías|podría|qué tipo|para qué|quieres|quiere|necesitas|necesita)\b",
    re.IGNORECASE,
)


def question_in(prompt: str, text: str) -> str | None:
    """The question that is asked back, as it stands in the response; None where the response is none.

    Args:
        prompt: the person's words.
        text: a response that the model ended: of one that was cut the answer may be to come.
    """
    sentences = [found.strip(' \t*_#>-"“¡') for found in _SENTENCE.findall(prose_of(text))]
    sentences = [sentence for sentence in sentences if has_letter(sentence)]
    asked = [sentence for sentence in sentences if _asks(sentence)]
    others = [sentence for sentence in sentences if not _asks(sentence)]
    if not asked or len(asked) > _MOST_QUESTIONS or len(words_of(text)) > _MOST_WORDS:
        return None
    # An answer may come before "Would you like more?"; nothing is one that only greets.
    if not all(_POLITE.match(sentence) and not _DECLINES.search(sentence) for sentence in others):
        return None
    if _WANTED.search(prompt) or _GREETING.fullmatch(prompt):
        return None
    return next((sentence for sentence in asked if _TO_PERSON.search(sentence)), None)


def _asks(sentence: str) -> bool:
    return bool(_ASKS.search(sentence) or _REQUEST.match(sentence))
