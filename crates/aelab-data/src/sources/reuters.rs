//! `reuters`: news of 1987 as bags of words.

use std::collections::HashMap;

use aelab_core::{ConfigError, DataSpec, Domain};
use aelab_map::Numbers;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::read_cached;
use crate::dataset::{Part, RawDataset, Values};
use crate::decoded::load_fetched;
use crate::fetch::REUTERS;
use crate::options::dataset_config;
use crate::{DataError, Dataset, DatasetSource, LoadContext, Origin};

/// Topics that some document has as its only one.
const MOST_TOPICS: usize = 50;

/// Shorter words are left out.
const SHORTEST_WORD: usize = 3;

/// Function words, and the name of the agency, which ends every text.
const STOP_WORDS: &str = "about above after again against all also although among and any are because been before being \
    below between both but can could did does doing down during each few for from further had has have having her here hers him his \
    how however into its itself just may might more most must nor not now off once only other our ours out over own per \
    same shall she should since some such than that the their theirs them then there these they this those through too under \
    until upon very was were what when where which while who whom why will with within without would you your yours reuter \
    reuters blah";

dataset_config! { own,
    /// News as bags of words `[vocabulary_size]`: how often each of the most frequent words is in the text;
    /// `aelab data fetch reuters` brings them. It has no test split of its own.
    ReutersConfig {
        /// Words that are counted, the most frequent ones in the texts that are used.
        #[serde(default = "default_vocabulary_size")]
        pub vocabulary_size: usize,
        /// What a count becomes.
        #[serde(default)]
        pub term_weight: TermWeight,
        /// Uses only texts that have exactly one topic and labels them by it, of the so many most frequent such topics. When
        /// absent, all texts are used, without labels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub num_topics: Option<usize>,
    }
}

/// What the count of a word in a text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TermWeight {
    /// The count.
    #[default]
    Count,
    /// `ln(1 + count)`.
    LogCount,
    /// 1 where the word is in the text.
    Binary,
}

fn default_vocabulary_size() -> usize {
    2000
}

/// A text as the package has it; what else it has is not used.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    topics: Vec<String>,
}

/// Texts as numbers of words.
struct Corpus {
    /// Each word once, in the order of its first occurrence.
    words: Vec<String>,
    /// Words of each text.
    texts: Vec<Vec<u32>>,
    /// The topic of each text.
    topics: Vec<Option<String>>,
}

/// Texts as counts of the words of the vocabulary.
struct Bags {
    /// `[text, word]`.
    counts: Vec<u16>,
    /// The topic of each text.
    labels: Option<Vec<u32>>,
    /// Names of the topics.
    topics: Option<Vec<String>>,
}

/// The words of a text: runs of ASCII letters in lower case, of three letters or more, without stop words.
fn for_each_word(text: &str, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    for run in text.split(|character: char| !character.is_ascii_alphabetic()).filter(|run| run.len() >= SHORTEST_WORD) {
        word.clear();
        word.push_str(run);
        word.make_ascii_lowercase();
        take(&word);
    }
}

impl ReutersConfig {
    /// The words whose counts are the features, in their order: the most frequent first, equally frequent ones by the
    /// alphabet.
    pub fn vocabulary(&self, context: &LoadContext) -> Result<Vec<String>, DataError> {
        let corpus = self.corpus(context)?;
        Ok(self.most_frequent(&corpus)?.into_iter().map(|word| corpus.words[word as usize].clone()).collect())
    }

    /// The texts that are used: those with a body, and with `num_topics` those of one of the topics.
    fn corpus(&self, context: &LoadContext) -> Result<Corpus, DataError> {
        let mut documents = Vec::new();
        for file in REUTERS.files {
            let (origin, bytes) = read_cached(&REUTERS, file, context)?;
            let of_file: Vec<Document> = serde_json::from_slice(&bytes).map_err(|error| {
                DataError::format(&origin, 0, format!("is not the JSON that it should be ({error}); fetch the data again"))
            })?;
            documents.extend(of_file.into_iter().filter(|document| document.body.is_some()));
        }
        Ok(self.choose(documents))
    }

    fn choose(&self, documents: Vec<Document>) -> Corpus {
        let topics = self.num_topics.map(|num_topics| {
            let single =
                documents.iter().filter_map(|document| if let [topic] = &document.topics[..] { Some(topic.as_str()) } else { None });
            most_frequent(single).into_iter().take(num_topics).map(str::to_owned).collect::<Vec<_>>()
        });
        let mut numbers: HashMap<String, u32> = STOP_WORDS.split_whitespace().map(|word| (word.to_owned(), u32::MAX)).collect();
        let mut corpus = Corpus { words: Vec::new(), texts: Vec::new(), topics: Vec::new() };
        for document in documents {
            let topic = match (&topics, &document.topics[..]) {
                (None, _) => None,
                (Some(topics), [topic]) if topics.contains(topic) => Some(topic.clone()),
                _ => continue,
            };
            let mut text = Vec::new();
            for part in [document.title.as_str(), document.body.as_deref().unwrap_or_default()] {
                for_each_word(part, |word| match numbers.get(word) {
                    Some(&u32::MAX) => {}
                    Some(&number) => text.push(number),
                    None => {
                        let number = corpus.words.len() as u32;
                        numbers.insert(word.to_owned(), number);
                        corpus.words.push(word.to_owned());
                        text.push(number);
                    }
                });
            }
            corpus.texts.push(text);
            corpus.topics.push(topic);
        }
        corpus
    }

    /// The words that are counted.
    fn most_frequent(&self, corpus: &Corpus) -> Result<Vec<u32>, DataError> {
        let mut counts = vec![0u32; corpus.words.len()];
        corpus.texts.iter().flatten().for_each(|&word| counts[word as usize] += 1);
        let mut order: Vec<u32> = (0..counts.len() as u32).collect();
        order.sort_unstable_by_key(|&word| (std::cmp::Reverse(counts[word as usize]), &corpus.words[word as usize]));
        if order.len() < self.vocabulary_size {
            let message = format!("there are {} words, less than `vocabulary_size: {}`", order.len(), self.vocabulary_size);
            return Err(DataError::Split { origin: Origin::file(Self::NAME), message });
        }
        order.truncate(self.vocabulary_size);
        Ok(order)
    }

    /// How often each counted word is in each text that has any of them, the topics of these texts, and the names of the topics.
    fn count(&self, corpus: &Corpus) -> Result<Bags, DataError> {
        let vocabulary = self.most_frequent(corpus)?;
        let mut feature = vec![usize::MAX; corpus.words.len()];
        vocabulary.iter().enumerate().for_each(|(at, &word)| feature[word as usize] = at);
        let names = self
            .num_topics
            .map(|_| most_frequent(corpus.topics.iter().flatten().map(String::as_str)).into_iter().map(str::to_owned).collect::<Vec<_>>());
        let mut counts = Vec::with_capacity(corpus.texts.len() * self.vocabulary_size);
        let mut labels = Vec::new();
        for (text, topic) in corpus.texts.iter().zip(&corpus.topics) {
            let start = counts.len();
            counts.resize(start + self.vocabulary_size, 0u16);
            let mut is_empty = true;
            for at in text.iter().map(|&word| feature[word as usize]).filter(|&at| at != usize::MAX) {
                counts[start + at] = counts[start + at].saturating_add(1);
                is_empty = false;
            }
            if is_empty {
                counts.truncate(start);
            } else if let (Some(names), Some(topic)) = (&names, topic) {
                labels.push(names.iter().position(|name| name == topic).unwrap_or_default() as u32);
            }
        }
        Ok(Bags { counts, labels: names.is_some().then_some(labels), topics: names })
    }

    fn domain(&self) -> Domain {
        if self.term_weight == TermWeight::Binary { Domain::Binary } else { Domain::Real }
    }
}

/// Distinct words, the most frequent first, equally frequent ones by the alphabet.
fn most_frequent<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    let mut words: Vec<(usize, &str)> = counts.into_iter().map(|(word, count)| (count, word)).collect();
    words.sort_unstable_by_key(|&(count, word)| (std::cmp::Reverse(count), word));
    words.into_iter().map(|(_, word)| word).collect()
}

impl DatasetSource for ReutersConfig {
    const NAME: &'static str = "reuters";
    const SUMMARY: &'static str = "19,000 news of 1987 as bags of words, with or without topics";
    const CITATION: &'static str = "Lewis 1997, Reuters-21578 text categorization test collection, http://www.daviddlewis.com/resources/testcollections/reuters21578/; copyright Reuters Ltd., for research only";
    const FETCHED: bool = true;

    fn check(&self) -> Result<(), ConfigError> {
        if !(1..=20_000).contains(&self.vocabulary_size) {
            let message = format!("`vocabulary_size` must be from 1 to 20,000, but is {}", self.vocabulary_size);
            return Err(ConfigError::new("vocabulary_size", message));
        }
        if let Some(num_topics) = self.num_topics
            && !(1..=MOST_TOPICS).contains(&num_topics)
        {
            let message =
                format!("`num_topics` must be from 1 to {MOST_TOPICS}, but is {num_topics}; leave it out for texts without labels");
            return Err(ConfigError::new("num_topics", message));
        }
        self.options().labelled(self.num_topics.is_some(), "`num_topics` gives texts the topic as their label")?.check(false)
    }

    fn with_defaults(&self) -> Self {
        self.with_fractions(false)
    }

    fn checksum(&self, _context: &LoadContext) -> Result<String, DataError> {
        Ok(REUTERS.checksum())
    }

    fn spec(&self, _context: &LoadContext) -> Result<DataSpec, DataError> {
        Ok(self.options().spec(vec![self.vocabulary_size], self.domain(), self.num_topics))
    }

    fn load(&self, context: &LoadContext) -> Result<Dataset, DataError> {
        let decode = || -> Result<RawDataset, DataError> {
            let Bags { counts, labels, topics } = self.count(&self.corpus(context)?)?;
            let values = match self.term_weight {
                TermWeight::Count => Values::Floats(Numbers::owned(counts.into_iter().map(f32::from).collect())),
                TermWeight::LogCount => Values::Floats(Numbers::owned(counts.into_iter().map(|count| f32::from(count).ln_1p()).collect())),
                TermWeight::Binary => {
                    Values::Bytes { data: Numbers::owned(counts.into_iter().map(|count| u8::from(count > 0)).collect()), divisor: 1.0 }
                }
            };
            let part = Part::new(Origin::file(REUTERS.folder(context)), values, labels);
            Ok(RawDataset::new(part, [self.vocabulary_size], topics))
        };
        load_fetched(self, &self.options(), context, &REUTERS, &REUTERS.files.iter().collect::<Vec<_>>(), decode)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(section: serde_json::Value) -> ReutersConfig {
        serde_json::from_value(section).unwrap()
    }

    fn corpus(config: &ReutersConfig) -> Corpus {
        let documents: Vec<Document> = serde_json::from_value(json!([
            {"title": "WHEAT UP", "body": "Wheat rose. The wheat's price, 3,5 dlrs: good!", "topics": ["wheat"], "id": "1"},
            {"title": "Oil", "body": "oil-price fell", "topics": ["crude"]},
            {"body": "price of wheat and oil", "topics": ["wheat", "crude"]},
            {"body": "wheat", "topics": ["wheat"]},
            {"body": "Reuter", "topics": []}
        ]))
        .unwrap();
        config.choose(documents)
    }

    #[test]
    fn words_are_runs_of_letters_without_short_ones() {
        let mut words = Vec::new();
        for_each_word("The U.S. dlr's 3rd-quarter RISE, &lt;IBM>; caf\u{e9}s", |word| words.push(word.to_owned()));
        assert_eq!(words, ["the", "dlr", "quarter", "rise", "ibm", "caf"]);
    }

    #[test]
    fn the_most_frequent_words_are_counted_and_texts_without_them_left_out() {
        let config = config(json!({"vocabulary_size": 3}));
        let corpus = corpus(&config);
        let words: Vec<&str> = config.most_frequent(&corpus).unwrap().iter().map(|&word| corpus.words[word as usize].as_str()).collect();
        // wheat 5; oil and price 3 each.
        assert_eq!(words, ["wheat", "oil", "price"]);
        let bags = config.count(&corpus).unwrap();
        assert_eq!(bags.counts, [3, 0, 1, 0, 2, 1, 1, 1, 1, 1, 0, 0]);
        assert_eq!((bags.labels, bags.topics), (None, None));
    }

    #[test]
    fn with_topics_only_texts_of_one_of_them_are_used() {
        let config = config(json!({"vocabulary_size": 2, "num_topics": 2}));
        let bags = config.count(&corpus(&config)).unwrap();
        assert_eq!(bags.topics.unwrap(), ["wheat", "crude"]);
        assert_eq!(bags.labels.unwrap(), [0, 1, 0]);
        // wheat 4, then oil, price 2 each by the alphabet.
        assert_eq!(bags.counts, [3, 0, 0, 2, 1, 0]);
        let one = ReutersConfig { num_topics: Some(1), ..config };
        assert_eq!(one.count(&corpus(&one)).unwrap().labels.unwrap(), [0, 0]);
    }

    #[test]
    fn what_cannot_be_had_is_refused_at_its_key() {
        let path = |section| DatasetSource::check(&config(section)).unwrap_err().path;
        assert_eq!(path(json!({"vocabulary_size": 0})), "vocabulary_size");
        assert_eq!(path(json!({"num_topics": 0})), "num_topics");
        let large = config(json!({"vocabulary_size": 100}));
        assert!(large.count(&corpus(&large)).err().unwrap().to_string().contains("less than `vocabulary_size: 100`"));
    }
}
